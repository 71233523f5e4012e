//! The tests over real parts, in the order of the data: one module per step, then the whole.
//!
//! Kafka and Postgres are started once and shared; each test has a topic and a database of its own. They end with this
//! process, however it ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod admitting;
mod answering;
mod attacking;
mod aws;
mod breaking;
mod brokers;
mod censoring;
mod clocks;
mod connecting;
mod covering;
mod delivering;
mod docs;
mod exchanging;
mod finding;
mod flushing;
mod forms;
mod golden;
mod granting;
mod http_fuzz;
mod http_messages;
mod killing;
mod local_command;
mod migrating;
mod monitoring;
mod moving;
mod overviewing;
mod poisoning;
mod pooling;
mod publishing;
mod reading;
mod rebinding;
mod rebuilding;
mod refusing;
mod repairing;
mod requesting;
mod retaining;
mod sealing;
mod securing;
mod serving;
mod showing;
mod storming;
mod support;
mod ticking;
mod tls_certificates;
mod trusting;
mod variables;
mod whole;
mod wire;
