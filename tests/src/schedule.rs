//! The schedule: what EventBridge sends at each tick.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// The event of an EventBridge rule that fires at `time`. There, the time has whole seconds; here, where it may fire more often,
/// milliseconds.
#[must_use]
pub fn rule_event(time: Timestamp) -> Value {
    json!({
        "version": "0",
        "id": Uuid::now_v7(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": format!("{time:.3}"),
        "region": "local",
        "resources": ["arn:aws:events:local:123456789012:rule/website-monitor"],
        "detail": {}
    })
}
