//! The terminal program that shows a whole cluster, live.
//!
//! Elm's shape: [`update::update`] is pure and total, [`view::view`] only draws what `update` has prepared,
//! and the time comes in messages. Rows come from a [`feed::Feed`]; orders go to a [`console::Console`].
//! Without a terminal [`headless`] prints the same views, and [`svg`] draws them as a picture.

pub mod check;
pub mod clean;
mod clock;
pub mod cluster;
pub mod config;
pub mod console;
pub mod dialog;
mod error;
pub mod facts;
pub mod feed;
pub mod gather;
pub mod headless;
pub mod history;
pub mod keeper;
pub mod keymap;
pub mod layout;
pub mod limits;
pub mod measure;
pub mod model;
mod pace;
pub mod palette;
pub mod prepare;
pub mod question;
pub mod recording;
mod run;
mod save;
pub mod svg;
pub mod table;
pub mod theme;
pub mod traces;
pub mod units;
pub mod update;
pub mod view;

pub use clock::Clock;
pub use config::Config;
pub use error::Error;
pub use model::Screen;
pub use run::{Exit, Options, run, run_on};
pub use theme::{ColorChoice, Palette};
