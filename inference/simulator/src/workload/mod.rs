//! What arrives: requests with their tenant, model, adapters and compute.

mod convert;
mod fold;
mod generate;
pub(crate) mod read;
mod write;

pub use convert::{convert_loads, convert_requests};
pub use generate::{RECIPE, Recipe, generate, synthetic_loads};
pub use read::{ReadError, read_loads, read_requests};
pub use write::{write_loads, write_requests};

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// What kind of work a request is; part of what predicts its compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// A picture from text.
    TextToImage,
    /// A picture from a picture.
    ImageToImage,
    /// A part of a picture.
    Inpainting,
    /// A clip. No public trace has any; only the generator makes them.
    Video,
}

impl Task {
    /// The name in the columns of the trace.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TextToImage => "TXT_2_IMG",
            Self::ImageToImage => "IMG_2_IMG",
            Self::Inpainting => "INPAINTING",
            Self::Video => "VIDEO",
        }
    }

    /// The number that the scheduler knows it by.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::TextToImage => 1,
            Self::ImageToImage => 2,
            Self::Inpainting => 3,
            Self::Video => 4,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::TextToImage, Self::ImageToImage, Self::Inpainting, Self::Video]
            .into_iter()
            .find(|task| task.name() == text)
    }
}

/// One request. Names are numbers into the lists of its [`Workload`].
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// When it arrives.
    pub arrival_us: i64,
    /// Whose it is.
    pub tenant: u32,
    /// What kind of work.
    pub task: Task,
    /// Its base model.
    pub model: u32,
    /// Its adapters in their order.
    pub adapters: Vec<u32>,
    /// Pictures or frames.
    pub images: u16,
    /// Steps of denoising.
    pub steps: u16,
    /// Compute alone, on the reference GPU.
    pub warm_us: i64,
    /// Where it comes from: a number into the scenario's regions.
    pub region: u16,
}

/// Requests in the order of their arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    /// The requests.
    pub requests: Vec<Request>,
    /// Names of tenants.
    pub tenants: Vec<Arc<str>>,
    /// Names of base models.
    pub models: Vec<Arc<str>>,
    /// Names of adapters.
    pub adapters: Vec<Arc<str>>,
}

/// Names in the order in which they were first seen.
#[derive(Debug, Default)]
pub(crate) struct Names {
    list: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Names {
    pub(crate) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.list.len() as u32;
        let name: Arc<str> = Arc::from(name);
        self.list.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    pub(crate) fn into_list(self) -> Vec<Arc<str>> {
        self.list
    }
}

impl Workload {
    /// Sorts requests by arrival, keeping the order of those that arrive together.
    pub fn sort(&mut self) {
        self.requests.sort_by_key(|request| request.arrival_us);
    }

    /// Work that arrives, in GPU-microseconds without loads.
    #[must_use]
    pub fn warm_us(&self) -> i64 {
        self.requests.iter().map(|request| request.warm_us).sum()
    }

    /// Models of clips.
    #[must_use]
    pub fn clips(&self) -> BTreeSet<u32> {
        let clips = self.requests.iter().filter(|request| request.task == Task::Video);
        clips.map(|request| request.model).collect()
    }

    /// When the last request arrives.
    #[must_use]
    pub fn end_us(&self) -> i64 {
        self.requests.iter().map(|request| request.arrival_us).max().unwrap_or(0)
    }

    /// The same requests with other arrivals, or fewer of them.
    #[must_use]
    pub fn with_requests(&self, requests: Vec<Request>) -> Self {
        let mut other = Self {
            requests,
            tenants: self.tenants.clone(),
            models: self.models.clone(),
            adapters: self.adapters.clone(),
        };
        other.sort();
        other
    }
}
