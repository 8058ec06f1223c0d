//! End-to-end tests, one module a user's job.
