//! How commands end: one function maps what went wrong to an exit code, one prints it. What does not live here: the
//! wording of errors, which is theirs.

use std::io::{self, Write as _};
use std::process::ExitCode;

use squall_client::{
    AttachError, CommandError, ConnectError, Ended, Invalid, PublishError, RequestError, SubscribeError,
};
use squall_kernel::registry::Refused;

/// Exit codes, the same for every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Answered, done, held.
    Answered = 0,
    /// Something else failed.
    Failed = 1,
    /// The arguments, a file, an address or a port cannot be used.
    Usage = 2,
    /// No handler is attached, to the exchange or to a middleware in front of it.
    NoResponders = 3,
    /// No answer in time.
    Timeout = 4,
    /// Certainly not delivered, or not done; also where there is no such exchange.
    Unavailable = 5,
    /// A handler, a node, a controller or the registry declined.
    Declined = 6,
    /// Overloaded.
    Rejected = 7,
    /// Delivered, fate unknown; or its handler failed over it.
    Interrupted = 8,
}

impl Exit {
    /// A scenario was ended before its time.
    pub(crate) const HALTED: Self = Self::NoResponders;
    /// Nobody can say how a scenario ended.
    pub(crate) const UNKNOWN: Self = Self::Timeout;
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Arguments, files, addresses or ports that cannot be used: says which, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The command said everything itself; only the code is left.
#[derive(Debug, thiserror::Error)]
#[error("exit code {}", *.0 as u8)]
pub(crate) struct Quiet(pub(crate) Exit);

/// An error said in other words, which keeps its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub(crate) struct Worded {
    words: String,
    exit: Exit,
}

impl Worded {
    /// An error in these words, with that code.
    pub(crate) fn new(words: String, exit: Exit) -> Self {
        Self { words, exit }
    }

    /// `error`, said in these words.
    pub(crate) fn of(error: impl Into<anyhow::Error>, words: String) -> anyhow::Error {
        Self {
            words,
            exit: code(&error.into()),
        }
        .into()
    }
}

/// No node could be asked, or none could answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unavailable(pub(crate) String);

/// Ends the program: prints the error, if there is one to print, and gives the code.
pub(crate) fn end(result: Result<(), anyhow::Error>) -> ExitCode {
    let Err(error) = result else {
        return Exit::Answered.into();
    };
    let code = code(&error);
    if !is_broken_pipe(&error) && error.downcast_ref::<Quiet>().is_none() {
        // With standard error closed there is nobody to tell.
        let _nobody = writeln!(io::stderr(), "squall: {}", one_line(&words(&error)));
    }
    code.into()
}

/// The error and its causes, each said once: many say their cause themselves.
fn words(error: &anyhow::Error) -> String {
    let mut words = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> Exit {
    if is_broken_pipe(error) {
        return Exit::Answered;
    }
    let of_cause = |cause: &(dyn std::error::Error + 'static)| {
        None.or_else(|| cause.downcast_ref::<Quiet>().map(|quiet| quiet.0))
            .or_else(|| cause.downcast_ref::<Worded>().map(|worded| worded.exit))
            .or_else(|| cause.downcast_ref::<Usage>().map(|_| Exit::Usage))
            .or_else(|| cause.downcast_ref::<Unavailable>().map(|_| Exit::Unavailable))
            .or_else(|| cause.downcast_ref::<RequestError>().map(of_request))
            .or_else(|| cause.downcast_ref::<ConnectError>().map(of_connect))
            .or_else(|| cause.downcast_ref::<CommandError>().map(of_command))
            .or_else(|| cause.downcast_ref::<AttachError>().map(of_attach))
            .or_else(|| cause.downcast_ref::<PublishError>().map(of_publish))
            .or_else(|| cause.downcast_ref::<SubscribeError>().map(of_subscribe))
            .or_else(|| cause.downcast_ref::<Ended>().map(of_ended))
            .or_else(|| cause.downcast_ref::<Invalid>().map(|_| Exit::Usage))
            .or_else(|| cause.downcast_ref::<io::Error>().map(|_| Exit::Usage))
    };
    error.chain().find_map(of_cause).unwrap_or(Exit::Failed)
}

/// The exit code of a request's outcome.
pub(crate) fn of_request(error: &RequestError) -> Exit {
    match error {
        RequestError::NoResponders => Exit::NoResponders,
        RequestError::Timeout => Exit::Timeout,
        RequestError::Unavailable(_) => Exit::Unavailable,
        RequestError::Declined(_) => Exit::Declined,
        RequestError::Rejected => Exit::Rejected,
        RequestError::NoMiddleware(_) => Exit::NoResponders,
        RequestError::Interrupted | RequestError::Failed(_) => Exit::Interrupted,
        RequestError::Invalid(_) => Exit::Usage,
    }
}

fn of_publish(error: &PublishError) -> Exit {
    match error {
        PublishError::Degraded => Exit::Unavailable,
        PublishError::Partly { why, .. } | PublishError::Failed(why) => of_request(why),
        PublishError::Key(_) => Exit::Usage,
    }
}

fn of_subscribe(error: &SubscribeError) -> Exit {
    match error {
        SubscribeError::Ended(ended) => of_ended(ended),
        SubscribeError::Pattern { .. }
        | SubscribeError::Patterns(_)
        | SubscribeError::Credit(_)
        | SubscribeError::Invalid(_) => Exit::Usage,
    }
}

fn of_ended(ended: &Ended) -> Exit {
    match ended {
        Ended::Refused(_) => Exit::Declined,
        Ended::Unavailable(_) | Ended::Unreachable | Ended::Detached(_) | Ended::Closed => Exit::Unavailable,
    }
}

/// The text on one line, without control characters: parts of it may come from outside.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn of_connect(error: &ConnectError) -> Exit {
    match error {
        ConnectError::NoAddress | ConnectError::TooManyAddresses(_) => Exit::Usage,
        ConnectError::Refused { .. } | ConnectError::Unreachable(_) => Exit::Unavailable,
    }
}

fn of_command(error: &CommandError) -> Exit {
    match error {
        CommandError::Refused(Refused::UnknownExchange(_)) => Exit::Unavailable,
        CommandError::Refused(_) | CommandError::Malformed(_) => Exit::Declined,
        CommandError::Unavailable(_) => Exit::Unavailable,
        CommandError::Unknown(_) => Exit::Interrupted,
        CommandError::Invalid(_) => Exit::Usage,
    }
}

fn of_attach(error: &AttachError) -> Exit {
    match error {
        AttachError::Ended(ended) => of_ended(ended),
        AttachError::Invalid(_) => Exit::Usage,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};
    use squall_kernel::id::{ExchangeName, NodeName};
    use squall_kernel::reason::{DetachReason, NoReply, Refusal};

    use super::*;

    #[test]
    fn every_outcome_has_its_documented_code() {
        let refused = ConnectError::Refused {
            addr: "x".into(),
            refusal: Refusal::Cookie,
            detail: String::new(),
        };
        let table: Vec<(anyhow::Error, u8)> = vec![
            (Usage("no such file".into()).into(), 2),
            (io::Error::from(io::ErrorKind::NotFound).into(), 2),
            (ConnectError::NoAddress.into(), 2),
            (
                ExchangeName::new("").map_err(Invalid::Name).unwrap_err().into(),
                2,
            ),
            (RequestError::Invalid(Invalid::Payload { len: 1 }).into(), 2),
            (AttachError::Invalid(Invalid::Credit { credit: 0 }).into(), 2),
            (RequestError::NoResponders.into(), 3),
            (RequestError::Timeout.into(), 4),
            (RequestError::Unavailable(NoReply::UnknownExchange).into(), 5),
            (ConnectError::Unreachable(Vec::new()).into(), 5),
            (refused.into(), 5),
            (Unavailable("no node".into()).into(), 5),
            (CommandError::Unavailable("no quorum".into()).into(), 5),
            (AttachError::Ended(Ended::Unreachable).into(), 5),
            (AttachError::Ended(Ended::Refused("tasks only".into())).into(), 6),
            (
                SubscribeError::Ended(Ended::Unavailable("no exchange".into())).into(),
                5,
            ),
            (
                SubscribeError::Ended(Ended::Refused("controller".into())).into(),
                6,
            ),
            (
                CommandError::Refused(Refused::UnknownExchange("x".into())).into(),
                5,
            ),
            (Ended::Detached(DetachReason::Asked).into(), 5),
            (RequestError::Declined("no".into()).into(), 6),
            (
                CommandError::Refused(Refused::NameTaken(NodeName::new("a").unwrap())).into(),
                6,
            ),
            (RequestError::Rejected.into(), 7),
            (RequestError::Interrupted.into(), 8),
            (RequestError::Failed("at line 3".into()).into(), 8),
            (RequestError::NoMiddleware("'auth'".into()).into(), 3),
            (CommandError::Unknown("lost".into()).into(), 8),
            (Quiet(Exit::Timeout).into(), 4),
            (io::Error::from(io::ErrorKind::BrokenPipe).into(), 0),
            (anyhow!("a bug"), 1),
        ];
        for (error, expected) in table {
            assert_eq!(code(&error) as u8, expected, "{error:?}");
            let wrapped = Err::<(), _>(error).context("while doing something").unwrap_err();
            assert_eq!(code(&wrapped) as u8, expected, "{wrapped:?}");
        }
    }

    #[test]
    fn an_error_is_one_line_whatever_is_in_it() {
        assert_eq!(one_line("a\nb\u{1b}[2J"), "a b [2J");
    }
}
