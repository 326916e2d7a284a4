//! The longhaul compute backend for Amazon ECS on Fargate.
