//! The line of tabs.

use ratatui::layout::Rect;

use crate::model::Screen;

/// A tab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab {
    /// View that it opens.
    pub screen: Screen,
    /// Where.
    pub area: Rect,
    /// What it says.
    pub label: String,
}

/// The tabs that fit: with their names, with the first letters of all but the open one, or with the numbers alone.
#[must_use]
pub fn tabs(area: Rect, open: Screen) -> Vec<Tab> {
    let label = |place: usize, screen: Screen, letters: usize| {
        let title = screen.title();
        let title = if screen == open {
            title
        } else {
            title.get(..letters).unwrap_or(title)
        };
        match title {
            "" => format!(" {} ", place + 1),
            title => format!(" {} {title} ", place + 1),
        }
    };
    let all = |letters: usize| {
        let named = Screen::ALL.into_iter().enumerate();
        named.map(move |(i, screen)| (screen, label(i, screen, letters)))
    };
    let needed = |letters: usize| all(letters).map(|(_, label)| label.len() + 1).sum::<usize>();
    let fits = |letters: &usize| needed(*letters) <= usize::from(area.width) + 1;
    let letters = [usize::MAX, 4, 2].into_iter().find(fits).unwrap_or(0);
    let mut x = 0;
    let mut tabs = Vec::new();
    for (screen, label) in all(letters) {
        let width = (label.len() as u16).min(area.width.saturating_sub(x));
        tabs.push(Tab {
            screen,
            area: Rect {
                x: area.x + x,
                width,
                ..area
            },
            label,
        });
        x = (x + width + 1).min(area.width);
    }
    tabs
}
