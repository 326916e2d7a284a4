//! The processes that invocations run in, as the system sees them.

use longhaul_emulator::ServiceEvent;
use tokio::sync::broadcast;

/// The state letter of a process, as `/proc` has it; none when there is no such process.
pub(crate) fn process_state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

pub(crate) fn is_gone(pid: u32) -> bool {
    matches!(process_state(pid), None | Some('Z' | 'X'))
}

/// The processes that invocations ran in so far.
pub(crate) fn pids(news: &mut broadcast::Receiver<ServiceEvent>) -> Vec<u32> {
    let mut pids = Vec::new();
    while let Ok(event) = news.try_recv() {
        if let ServiceEvent::InvocationStarted { pid: Some(pid), .. } = event {
            pids.push(pid);
        }
    }
    pids
}
