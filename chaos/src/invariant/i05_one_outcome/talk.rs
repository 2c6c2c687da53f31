//! What passes between a requester and its handler: chunks each once, in order, as they were sent, and no more than are
//! taken; a reply after all of them; one question at a time, each with its own answer. Nothing of it is begun twice.

use squall_kernel::exchange::RequestKey;
use squall_kernel::id::Pid;

use super::super::{Breach, Id};
use crate::history::{Answer, Event, TalkEvent};

/// What has passed so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Talk {
    /// Chunks that the requester has said it takes, and those its handler has sent.
    takes: u64,
    sent: u64,
    /// Who speaks, and the last that the requester was given.
    speaker: Option<(Pid, Event)>,
    given: u32,
    last: bool,
    /// Questions that the requester was given, and those its handler has the answers of.
    asked: u32,
    answered: u32,
}

impl Talk {
    pub(super) fn goes_on(
        &mut self,
        event: &Event,
        request: RequestKey,
        what: &TalkEvent,
    ) -> Result<(), Breach> {
        let wrong = match what {
            TalkEvent::Takes { credit } => {
                self.takes += u64::from(*credit);
                None
            }
            TalkEvent::Said { mark, .. } => {
                self.sent += u64::from(!mark);
                (self.sent > self.takes)
                    .then(|| format!("{} chunks were sent, {} are taken", self.sent, self.takes))
            }
            TalkEvent::Given {
                index, count, wrote, ..
            } => self.given(*index, *count, *wrote),
            TalkEvent::Asked { number, .. } => {
                let wrong = *number != self.asked + 1 || self.answered < self.asked;
                self.asked = *number;
                wrong.then(|| format!("question {number} came before the one before was answered"))
            }
            TalkEvent::Answered { number, wrote, .. } => {
                let wrong = *number != self.asked || wrote != number;
                self.answered = *number;
                wrong.then(|| format!("question {number} was answered with the answer to {wrote}"))
            }
        };
        let before = self.speaker.as_ref().map(|(_, before)| before.clone());
        let wrong = wrong.or_else(|| self.spoken_by(event, what));
        match wrong {
            None => Ok(()),
            Some(wrong) => {
                let text = format!("request {request}: {wrong}");
                Err(Breach::new(Id(5), before.as_ref(), event, text))
            }
        }
    }

    fn given(&mut self, index: u32, count: u32, wrote: Option<u32>) -> Option<String> {
        let before = self.given;
        (self.given, self.last) = (index, self.last || count > 0);
        if index != before + 1 {
            Some(format!("chunk {index} came after chunk {before}"))
        } else if count > 0 && count != index {
            Some(format!("chunk {index} is the last of {count}"))
        } else if wrote.is_some_and(|wrote| wrote != index) {
            Some(format!("chunk {index} is not what was sent under that number"))
        } else {
            None
        }
    }

    /// All of it comes from one handler.
    fn spoken_by(&mut self, event: &Event, what: &TalkEvent) -> Option<String> {
        let (TalkEvent::Given { handler, .. } | TalkEvent::Asked { handler, .. }) = what else {
            return None;
        };
        let other = self.speaker.as_ref().filter(|(speaker, _)| speaker != handler);
        let wrong = other.map(|(speaker, _)| format!("{speaker} answers it, and {handler} as well"));
        self.speaker = Some((*handler, event.clone()));
        wrong
    }

    /// A success has all chunks, and is the word of whoever sent them.
    pub(super) fn ends(&self, event: &Event, request: RequestKey, outcome: &Answer) -> Result<(), Breach> {
        let (Answer::Reply { handler }, Some((speaker, before))) = (outcome, &self.speaker) else {
            return Ok(());
        };
        let wrong = if handler != speaker {
            format!("{speaker} had begun to answer it, and the reply is of {handler}")
        } else if self.given > 0 && !self.last {
            format!("it has a reply and no last chunk, after {}", self.given)
        } else {
            return Ok(());
        };
        let text = format!("request {request}: {wrong}");
        Err(Breach::new(Id(5), Some(before), event, text))
    }

    /// What was begun is not sent again.
    pub(super) fn sent_again(&self, event: &Event, request: RequestKey) -> Result<(), Breach> {
        match &self.speaker {
            None => Ok(()),
            Some((_, before)) => {
                let text = format!("request {request} was sent again although its answer had begun");
                Err(Breach::new(Id(5), Some(before), event, text))
            }
        }
    }
}
