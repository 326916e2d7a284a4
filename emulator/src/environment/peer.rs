//! Whose program is at the other end of a loopback connection.
//!
//! A Runtime API hands out events, which hold a checkpoint token and the customer's input, to whoever asks, and a runtime
//! client cannot be told to prove itself. On a machine with several users the kernel says who asks.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// False when the kernel says that `peer`, connected to `local`, belongs to another user. Where it says nothing, true.
pub(crate) fn is_own_user(peer: SocketAddr, local: SocketAddr) -> bool {
    let (SocketAddr::V4(peer), SocketAddr::V4(local)) = (peer, local) else {
        return true;
    };
    match std::fs::read_to_string("/proc/net/tcp") {
        Ok(table) => {
            owner(&table, peer, local).is_none_or(|uid| uid == rustix::process::geteuid().as_raw())
        }
        Err(_) => true,
    }
}

/// The user of the socket that is bound to `from` and connected to `to`, in the form of `/proc/net/tcp`.
fn owner(table: &str, from: SocketAddrV4, to: SocketAddrV4) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
        if local != from || remote != to {
            return None;
        }
        // State, queues, timer, retransmits, then the user.
        fields.nth(4)?.parse().ok()
    })
}

/// An address as the table has it: the IP in the machine's byte order, and the port, in hexadecimal.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?.to_ne_bytes();
    Some(SocketAddrV4::new(
        Ipv4Addr::from(ip),
        u16::from_str_radix(port, 16).ok()?,
    ))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_knows_that_this_process_is_this_users() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let local = listener.local_addr().unwrap();
        let stream = TcpStream::connect(local).unwrap();
        let SocketAddr::V4(peer) = stream.local_addr().unwrap() else {
            panic!("an IPv4 address")
        };
        let SocketAddr::V4(to) = local else {
            panic!("an IPv4 address")
        };
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        assert_eq!(
            owner(&table, peer, to),
            Some(rustix::process::geteuid().as_raw())
        );
        assert!(is_own_user(stream.local_addr().unwrap(), local));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_socket_of_another_user_is_told_apart() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:0FA0 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 20 4 0 10 -1\n   \
            1: 0100007F:C350 0100007F:0FA0 01 00000000:00000000 00:00000000 00000000  1001        0 2 1 0 20 4 0 10 -1\n";
        let at = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        assert_eq!(owner(table, at(50_000), at(4_000)), Some(1_001));
        assert_eq!(owner(table, at(4_000), at(50_000)), Some(0));
        assert_eq!(owner(table, at(50_001), at(4_000)), None);
    }
}
