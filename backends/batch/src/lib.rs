//! The longhaul compute backend for AWS Batch.
