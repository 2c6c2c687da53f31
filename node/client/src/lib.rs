//! What services use: attach, request, reply; the one Handler trait
