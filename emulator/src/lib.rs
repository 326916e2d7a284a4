//! AWS Lambda durable functions on one machine: the Lambda API and the Runtime API on loopback, over SQLite.
