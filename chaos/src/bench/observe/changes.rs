//! From what happens at a node to the screen: an owner is killed; the next one says when it began; and a frame shows it. The
//! nodes and the observer share this machine's clock.

use std::cell::Cell;
use std::time::Duration;

use squall_observer::Screen;

use super::seat::Seat;
use super::supervised::Nodes;
use super::{Figure, ObserveOptions, Part};
use crate::bench::failover::scene::Scene;
use crate::bench::failover::sight;
use crate::bench::failover::watch::{Mark, Told, Watch};
use crate::bench::{BenchError, nearest_rank};
use crate::layout::Place;

/// A failover that has not come about by then does not.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn measure(options: &ObserveOptions) -> Result<Vec<Figure>, BenchError> {
    let nodes = Nodes::start(options).await?;
    let seen = trials(&nodes, options.trials).await;
    nodes.end().await;
    let Seen { leaders, down } = seen?;
    let figure = |what: &str, values: &[f64], quantile, most| {
        let value = nearest_rank(values, quantile).unwrap_or_default();
        let figure = Figure::new(Part::Changes, what, value, "ms");
        if quantile < 1.0 {
            figure
        } else {
            figure.at_most(most)
        }
    };
    Ok(vec![
        figure(
            "the next owner on the screen after it began, p50",
            &leaders,
            0.5,
            0.0,
        ),
        figure(
            "the next owner on the screen after it began, worst",
            &leaders,
            1.0,
            100.0,
        ),
        figure("a killed node is down on the screen, p50", &down, 0.5, 0.0),
        figure("a killed node is down on the screen, worst", &down, 1.0, 1000.0),
    ])
}

/// Milliseconds, one of each trial.
#[derive(Default)]
struct Seen {
    /// From the moment at which the next owner began to the first frame that shows it.
    leaders: Vec<f64>,
    /// From the kill to the first frame that calls the node down.
    down: Vec<f64>,
}

async fn trials(nodes: &Nodes, trials: u32) -> Result<Seen, BenchError> {
    let places = nodes.places();
    let mut watch = Watch::start(places);
    let mut leaders = Seat::take(nodes.addresses(), Screen::Leaders)?;
    let mut overview = Seat::take(nodes.addresses(), Screen::Overview)?;
    let mut seen = Seen::default();
    for (n, target) in places.iter().cycle().take(trials as usize).enumerate() {
        let stay: Vec<&Place> = places.iter().filter(|place| place.name != target.name).collect();
        let whole = sight::whole(places, None).await?;
        let scene = Scene::enter(&nodes.cookie, format!("watched-{n}"), target, &stay).await?;
        let exchange = scene.exchange.clone();
        let all_up = format!("{0}/{0} up", places.len());
        let before = Cell::new(0);
        leaders
            .until("the exchange has an owner on the screen", |text| {
                let found = owner(text, &exchange).map(|epoch| before.set(epoch));
                found.is_some() && text.contains(&all_up)
            })
            .await?;
        let before = before.get();
        let name = target.name.as_str();
        overview
            .until("all nodes are up on the screen", |text| text.contains(&all_up))
            .await?;

        let mark = Mark::now();
        nodes.kill(target).await?;
        let (next, gone) = tokio::try_join!(
            leaders.until("the next owner is on the screen", |text| {
                owner(text, &exchange).is_some_and(|epoch| epoch > before)
            }),
            overview.until("the node is down on the screen", |text| is_down(text, name)),
        )?;
        let changed =
            |told: &Told| told.kind == "owner-changed" && told.subject == exchange && told.epoch > before;
        if !watch.until(mark, PATIENCE, changed).await {
            return Err(BenchError::Unsound(format!(
                "no node tells of the next owner of {exchange}"
            )));
        }
        let began = watch.since(mark).into_iter().filter(|told| changed(told));
        let began = began.map(|told| told.unix_us).min().unwrap_or_default();
        seen.leaders.push(millis_between(began, next.unix_us));
        seen.down.push(millis_between(mark.unix_us, gone.unix_us));

        nodes.restart(target).await?;
        let run = whole.incarnations.get(name).copied().unwrap_or_default();
        sight::whole(places, Some((name, run))).await?;
        scene.leave().await?;
    }
    Ok(seen)
}

fn millis_between(from_us: u64, to_us: u64) -> f64 {
    (to_us as f64 - from_us as f64) / 1000.0
}

/// Epoch of the node that acts as owner, as the matrix of opinions shows it.
fn owner(text: &str, exchange: &str) -> Option<u64> {
    let of_exchange = |line: &&str| line.split_whitespace().any(|word| word == exchange);
    let acts = |line: &str| {
        let (_, after) = line.split_once("● owner e")?;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    text.lines().filter(of_exchange).filter_map(acts).max()
}

/// Whether the line of a node calls it down.
fn is_down(text: &str, node: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line
            .split_whitespace()
            .filter(|word| !matches!(*word, "│" | "│▶" | "▶"));
        words.next() == Some(node) && line.contains("✖ down")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_screen_says_is_read() {
        let text = "│▶ watched-1 → c e8 <c.12>     ◌ was owner e7 <b.12>  ● owner e8 <c.12> 97ms │\n\
                    │  watched-2 ● owner e3 97ms   → a e3                → a e3                  │";
        assert_eq!(
            (
                owner(text, "watched-1"),
                owner(text, "watched-2"),
                owner(text, "watched")
            ),
            (Some(8), Some(3), None)
        );
        let text = "│▶ a     ● up              ★ leader│\n│  b     ✖ down stale 4.2s   voter │";
        assert_eq!((is_down(text, "a"), is_down(text, "b")), (false, true));
    }
}
