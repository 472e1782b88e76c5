//! B8, the virtual token counter (Sheng and others, OSDI 2024) with GPU-seconds for tokens: the tenant with the least
//! service so far, lifted to the least of the active ones on return.

use std::collections::BTreeMap;

use backlot_inference_scheduler::{JobKey, TenantKey, TimeUs};

use super::{
    pull::Rule,
    view::{Queue, View},
};

#[derive(Clone, Debug, Default)]
pub(super) struct Vtc {
    counters: BTreeMap<TenantKey, i64>,
}

impl Rule for Vtc {
    const NAME: &'static str = "b8-vtc";

    fn next(&mut self, _now: TimeUs, view: &View, queue: &Queue) -> Option<(JobKey, usize)> {
        let (_, jobs) = queue.by_tenant.iter().min_by_key(|(tenant, jobs)| {
            (self.counters.get(*tenant).copied().unwrap_or(0), jobs.first().copied())
        })?;
        let head = *jobs.first()?;
        Some((head, view.warm_first(&view.jobs.get(&head)?.model)?))
    }

    fn waits(&mut self, _view: &View, queue: &Queue, tenant: &TenantKey) {
        if queue.by_tenant.contains_key(tenant) {
            return;
        }
        let active = queue.by_tenant.keys().filter_map(|other| self.counters.get(other)).min().copied();
        let counter = self.counters.entry(tenant.clone()).or_default();
        *counter = (*counter).max(active.unwrap_or(0));
    }

    fn served(&mut self, tenant: &TenantKey, gpu_ms: i64) {
        *self.counters.entry(tenant.clone()).or_default() += gpu_ms;
    }
}
