//! Runs long jobs from an AWS Lambda durable function.
