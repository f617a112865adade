//! Both programs, real sockets, a pretend site: what a customer's network would see.

mod first_light;
mod hostile;
mod kills;
mod notify;
mod outages;
mod snmpd;
mod trust;
