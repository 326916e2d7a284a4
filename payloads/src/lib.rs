//! The payload store over S3, a local folder or memory.
