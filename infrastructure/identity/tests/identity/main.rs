//! Identity's rules on real databases: SQLite always, PostgreSQL where the environment names one.

mod accounts;
mod common;
mod doors;
mod organisations;
