//! The observer's filter language, pure: evaluated in the observer and on the nodes
