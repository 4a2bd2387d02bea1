//! Harness and oracles.
