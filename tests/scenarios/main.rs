//! Both programs, real sockets, a pretend site: what a customer's network would see.
