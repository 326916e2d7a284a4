//! The signals that a shim handles.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

/// What a shim waits for. A handler, unlike an ignored signal, is not handed on to the worker.
pub(super) struct Signals {
    /// A byte comes with each signal.
    came: UnixStream,
    terminate: Arc<AtomicBool>,
}

impl Signals {
    pub(super) fn handle() -> io::Result<Self> {
        let (came, tell) = UnixStream::pair()?;
        came.set_nonblocking(true)?;
        let terminate = Arc::new(AtomicBool::new(false));
        // Before the byte, so that whoever the byte wakes sees it.
        flag::register(SIGTERM, terminate.clone())?;
        pipe::register(SIGTERM, tell.try_clone()?)?;
        pipe::register(SIGCHLD, tell)?;
        // Not acted upon: they mean a terminal's user, who has nothing to do with a detached job.
        for of_a_terminal in [SIGINT, SIGHUP] {
            flag::register(of_a_terminal, Arc::default())?;
        }
        Ok(Self { came, terminate })
    }

    /// Whether somebody has asked this process to end.
    pub(super) fn terminate(&self) -> bool {
        self.terminate.load(Ordering::SeqCst)
    }

    /// Waits for a signal, at most so long. One that came since the last wait counts.
    pub(super) fn wait(&mut self, at_most: Option<Duration>) -> io::Result<()> {
        // A time that is longer than this can tell is no limit.
        let at_most = at_most.and_then(|time| Timespec::try_from(time).ok());
        let mut awaited = [PollFd::new(&self.came, PollFlags::IN)];
        match poll(&mut awaited, at_most.as_ref()) {
            // A handler has run in the middle of it: its byte is there.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut bytes = [0; 64];
        loop {
            match self.came.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}
