//! Faults, the local supervisor, and the chaos console behind the observer
