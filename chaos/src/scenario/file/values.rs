//! Values of a scenario's file: times, shares and numbers within their bounds. What does not live here: what they are of.

use std::time::Duration;

use squall_kernel::fault::Share;
use toml::Spanned;

use super::{LASTS_MAX, Read, Text, wrong};
use crate::fault::amount;

pub(super) fn within(said: Option<&Spanned<u32>>, otherwise: u32, least: u32, most: u32) -> Read<u32> {
    match said {
        None => Ok(otherwise),
        Some(said) if (least..=most).contains(said.get_ref()) => Ok(*said.get_ref()),
        Some(said) => Err(wrong(said.span(), format!("expected {least} to {most}"))),
    }
}

pub(super) fn time(said: &Text) -> Read<Duration> {
    let read = amount::duration(said.get_ref()).map_err(|why| wrong(said.span(), why))?;
    if read > LASTS_MAX {
        return Err(wrong(
            said.span(),
            format!("at most {} hours", LASTS_MAX.as_secs() / 3600),
        ));
    }
    Ok(read)
}

pub(super) fn share(said: &Text) -> Read<Share> {
    match said.get_ref().as_str() {
        "0%" => Ok(Share::NONE),
        text => amount::share(text).map_err(|why| wrong(said.span(), why)),
    }
}

pub(super) fn or<T>(said: Option<&Text>, otherwise: T, read: impl Fn(&Text) -> Read<T>) -> Read<T> {
    said.map_or(Ok(otherwise), read)
}

pub(super) fn some<T>(said: Option<&Text>, read: impl Fn(&Text) -> Read<T>) -> Read<Option<T>> {
    said.map(read).transpose()
}
