//! The constant `handlers` of a script: the handlers that are attached, shared and never copied.

use std::sync::Arc;

use rhai::{Engine, EvalAltResult, INT, Position};

use crate::functions::Candidate;

/// All handlers.
#[derive(Debug, Clone)]
pub(super) struct Handlers(Arc<Vec<Candidate>>);

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Handler {
    all: Arc<Vec<Candidate>>,
    place: usize,
}

impl Handlers {
    pub(super) fn of(all: &Arc<Vec<Candidate>>) -> Self {
        Self(Arc::clone(all))
    }

    fn len(&mut self) -> INT {
        INT::try_from(self.0.len()).expect("bounded by HANDLERS_PER_EXCHANGE_MAX")
    }

    fn get(&mut self, place: INT) -> Result<Handler, Box<EvalAltResult>> {
        let found = usize::try_from(place).ok().filter(|place| *place < self.0.len());
        match found {
            Some(place) => Ok(Handler {
                all: Arc::clone(&self.0),
                place,
            }),
            None => Err(EvalAltResult::ErrorArrayBounds(self.0.len(), place, Position::NONE).into()),
        }
    }
}

impl Handler {
    fn it(&self) -> &Candidate {
        &self.all[self.place]
    }
}

impl IntoIterator for Handlers {
    type Item = Handler;
    type IntoIter = Box<dyn Iterator<Item = Handler>>;

    fn into_iter(self) -> Self::IntoIter {
        let all = self.0;
        Box::new((0..all.len()).map(move |place| Handler {
            all: Arc::clone(&all),
            place,
        }))
    }
}

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Handlers>("handlers")
        .register_type_with_name::<Handler>("handler")
        .register_iterator::<Handlers>()
        .register_fn("len", Handlers::len)
        .register_get("len", Handlers::len)
        .register_indexer_get(Handlers::get)
        .register_get("pid", |handler: &mut Handler| handler.it().text.clone())
        .register_get("service_tag", |handler: &mut Handler| {
            handler.it().service_tag.clone()
        })
        .register_get("place", |handler: &mut Handler| {
            INT::try_from(handler.place).expect("bounded by HANDLERS_PER_EXCHANGE_MAX")
        });
}
