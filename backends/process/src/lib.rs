//! The longhaul compute backend for local processes.
