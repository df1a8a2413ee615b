//! Which traces are recorded: a share of them, or those that whoever began them records
//! (OpenTelemetry, "SDK configuration", `OTEL_TRACES_SAMPLER`).

/// All traces, as a share.
const ALL: u128 = 1 << 64;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sampling {
    /// Whether the sender of a request decides about its trace.
    follows_parent: bool,
    /// How many of 2^64 traces are recorded where nobody has decided.
    share: u128,
}

impl Sampling {
    /// The sampler of this name; `ratio` is asked where it needs one.
    pub(super) fn named(name: &str, ratio: impl FnOnce() -> f64) -> Option<Self> {
        let (follows_parent, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let share = match root {
            "always_on" => ALL,
            "always_off" => 0,
            "traceidratio" => (ratio().clamp(0.0, 1.0) * ALL as f64) as u128,
            _ => return None,
        };
        Some(Self { follows_parent, share })
    }

    /// Whether a trace is recorded of which its sender `decided` so, if there is one; `chance` is a
    /// number by chance, the same for everybody who sees the trace.
    pub(super) fn takes(self, decided: Option<bool>, chance: u64) -> bool {
        match decided {
            Some(decided) if self.follows_parent => decided,
            _ => u128::from(chance) < self.share,
        }
    }
}

impl Default for Sampling {
    /// `parentbased_always_on`, as the specification says.
    fn default() -> Self {
        Self { follows_parent: true, share: ALL }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a trace of which nobody has decided, of one that is recorded, and of one
    /// that is not; by the lowest chance, one in the middle, and the highest.
    #[track_caller]
    fn check(name: &str, ratio: f64, expected: [&str; 3]) {
        let sampling = Sampling::named(name, || ratio).expect(name);
        let taken = [None, Some(true), Some(false)].map(|decided| {
            let taken = [0, u64::MAX / 2, u64::MAX].map(|chance| sampling.takes(decided, chance));
            taken.map(|taken| if taken { "+" } else { "-" }).concat()
        });
        assert_eq!(taken, expected, "{name} {ratio}");
    }

    #[test]
    fn a_sampler_takes_what_its_name_says() {
        check("always_on", 0.0, ["+++", "+++", "+++"]);
        check("always_off", 1.0, ["---", "---", "---"]);
        check("parentbased_always_on", 0.0, ["+++", "+++", "---"]);
        check("parentbased_always_off", 1.0, ["---", "+++", "---"]);
        check("traceidratio", 1.0, ["+++", "+++", "+++"]);
        check("traceidratio", 0.5, ["++-", "++-", "++-"]);
        check("traceidratio", 0.0, ["---", "---", "---"]);
        check("parentbased_traceidratio", 0.4, ["+--", "+++", "---"]);
        assert_eq!(Sampling::named("parentbased_always_on", || 0.0), Some(Sampling::default()));
        for name in ["", "jaeger_remote", "ALWAYS_ON", "parentbased_", "parentbased_xray"] {
            assert_eq!(Sampling::named(name, || 1.0), None, "{name}");
        }
    }
}
