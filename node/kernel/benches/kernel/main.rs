//! What the kernel's steps cost, each alone: routing, frames, keys, leases, the registry as bytes. Programs, not tests: no
//! time is judged. What does not live here: mailboxes (`squall-node`), and what it all comes to together (`squall bench`).
//!
//!     cargo bench -p squall-kernel --bench kernel          # measures
//!     cargo test -p squall-kernel --bench kernel           # runs each once, unmeasured

use criterion::Criterion;

mod frames;
mod keys;
mod leases;
mod registry;
mod routing;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    routing::bench(&mut criterion);
    frames::bench(&mut criterion);
    keys::bench(&mut criterion);
    leases::bench(&mut criterion);
    registry::bench(&mut criterion);
    criterion.final_summary();
}
