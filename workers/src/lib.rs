//! The longhaul worker: runs a command and completes its durable callback.
