//! The answers given last, so that one that is asked for again while nothing has changed is not made again.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use crate::response::Body;

/// Answers that are kept, at most.
const MAX_ANSWERS: usize = 64;
/// Bytes of them, at most, all together.
const MAX_BYTES: usize = 8 << 20;

/// A finished answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) content_type: &'static str,
    pub(crate) body: Body,
    pub(crate) is_compressed: bool,
    /// The query string of the next page, if there is one.
    pub(crate) next: Option<String>,
}

/// The newest answers, by a key that is another one as soon as anything in them is.
#[derive(Default)]
pub(crate) struct Cache {
    answers: Mutex<VecDeque<(String, Answer)>>,
}

impl Cache {
    pub(crate) fn get(&self, key: &str) -> Option<Answer> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().find(|(known, _)| known == key).map(|(_, answer)| answer.clone())
    }

    pub(crate) fn put(&self, key: String, answer: Answer) {
        if answer.body.len() > MAX_BYTES / 4 {
            return;
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|(known, _)| *known != key);
        answers.push_back((key, answer));
        while answers.len() > MAX_ANSWERS
            || answers.iter().map(|(_, answer)| answer.body.len()).sum::<usize>() > MAX_BYTES
        {
            answers.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> Answer {
        Answer { content_type: "text/plain", body: Body::Text("x".repeat(bytes)), is_compressed: false, next: None }
    }

    #[test]
    fn the_newest_answers_are_kept_within_bounds() {
        let cache = Cache::default();
        for number in 0..=MAX_ANSWERS {
            cache.put(number.to_string(), answer(1));
        }
        assert_eq!((cache.get("0"), cache.get("1")), (None, Some(answer(1))));

        let large = MAX_BYTES / 4;
        (0..4).for_each(|number| cache.put(format!("large {number}"), answer(large)));
        assert_eq!((cache.get("64"), cache.get("large 0")), (None, Some(answer(large))));
        cache.put("too large".to_owned(), answer(large + 1));
        assert_eq!(cache.get("too large"), None);
        assert!(cache.get("large 3").is_some());
    }
}
