//! Kafka: what the environment says of it ([`config`]) and of us ([`identity`]), which brokers an MSK cluster has ([`brokers`]), the settings of any
//! client with secrets as they are now ([`connection`]), tokens that stand in for passwords ([`token`]), what the client
//! says when something is wrong ([`context`]), the topic where it has to be made ([`topic`]), and records out ([`publish`]).

pub mod brokers;
pub mod config;
pub mod connection;
pub mod context;
pub mod identity;
pub mod publish;
pub mod token;
pub mod topic;

pub use self::{
    brokers::BrokersError,
    config::StreamConfig,
    connection::{Connection, StreamError},
    publish::Publisher,
};
