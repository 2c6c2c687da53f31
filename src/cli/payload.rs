//! The payload that a command is told: in a word, or on standard input.

use std::io::{Read, stdin};

use anyhow::Result;
use bytes::Bytes;

use super::exit::Usage;

/// What was said, or all of standard input where that is `-`; at most `bytes_max`. Call it before anything is dialled:
/// reading standard input may take its time.
///
/// # Errors
/// [`Usage`]: standard input cannot be read, or there is more.
pub(crate) fn payload(said: &str, bytes_max: usize) -> Result<Bytes> {
    if said == "-" {
        return read(stdin().lock(), bytes_max);
    }
    if said.len() > bytes_max {
        return Err(Usage(format!("the payload has more than {bytes_max} bytes")).into());
    }
    Ok(Bytes::from(said.to_owned()))
}

/// One byte above the bound is enough to know.
fn read(from: impl Read, bytes_max: usize) -> Result<Bytes> {
    let mut bytes = Vec::new();
    from.take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Usage(format!("standard input cannot be read: {error}")))?;
    if bytes.len() > bytes_max {
        return Err(Usage(format!("standard input has more than {bytes_max} bytes")).into());
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::exit::{Exit, code};
    use super::*;

    #[test]
    fn a_payload_is_as_long_as_the_bound_and_no_longer_wherever_it_comes_from() {
        assert_eq!(payload("12345", 5).unwrap(), "12345");
        assert_eq!(read(io::repeat(b'x').take(5), 5).unwrap(), "xxxxx");
        assert_eq!(read(io::empty(), 5).unwrap(), "");
        let said = payload("123456", 5).unwrap_err();
        let endless = read(io::repeat(b'x'), 5).unwrap_err();
        for (error, whose) in [(said, "the payload"), (endless, "standard input")] {
            assert_eq!(error.to_string(), format!("{whose} has more than 5 bytes"));
            assert_eq!(code(&error), Exit::Usage);
        }
    }
}
