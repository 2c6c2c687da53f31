//! Squall's sans-IO core: state machines without clock, randomness, IO or async
