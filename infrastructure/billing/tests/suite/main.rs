//! Billing and mandates on real databases: SQLite always, PostgreSQL where `BACKLOT_TEST_POSTGRES` names one.

mod audit;
mod common;
mod doors;
mod holds;
mod mandates;
mod many;
mod places;
mod plans;
mod proof;
mod returned;
mod revoked;
mod storms;
