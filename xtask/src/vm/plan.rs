//! What each kernel of a call runs: the attach families that it supports, and its tests.

use super::fetch::kernels::Kernel;
use super::guest::Plan;
use super::kernels::own;
use super::session::{FAMILIES, Session};

impl Session {
    /// Returns the plan of the kernel at this index: everything except the tests of `spread` that another kernel runs.
    pub(super) fn plan(&self, place: usize) -> Plan {
        let mut plan = self.plan.clone();
        let Some((name, kernel)) = self.kernels.get(place) else { return plan };
        let over = &self.args.spread_over;
        let takes = |name: &String| over.is_empty() || over.contains(name);
        let count = self.kernels.iter().filter(|(name, _)| takes(name)).count();
        let before = self.kernels[..place].iter().filter(|(name, _)| takes(name)).count();
        let others =
            self.spread.iter().enumerate().filter(|(dealt, _)| !takes(name) || dealt % count != before);
        plan.skip.extend(others.map(|(_, name)| name.clone()));
        plan.cgroup_v1 = self.args.cgroup_v1.contains(name);
        if let Ok(kernel) = kernel
            && plan.exec.is_empty()
        {
            plan.skip.extend(self.unsuitable(kernel));
            plan.attach = suitable(&plan.attach, self.families(&kernel.name));
        }
        if let Some(families) = self.args.attach_on.iter().find(|families| families.kernel == *name) {
            plan.attach.clone_from(&families.attach);
        }
        let is_emulated = kernel.as_ref().is_ok_and(|kernel| !kernel.arch.is_host());
        if is_emulated && !self.args.emulated.is_empty() {
            plan.attach.truncate(1);
        }
        plan
    }

    /// Returns the attach families that a kernel supports; all of an image that is given as a file.
    fn families(&self, kernel: &str) -> Vec<&str> {
        match (own::find(kernel), self.lines.iter().find(|line| line.name == kernel)) {
            (Some(own), _) => own.families.to_vec(),
            (None, Some(line)) => line.families.iter().map(String::as_str).collect(),
            (None, None) => FAMILIES.to_vec(),
        }
    }

    /// Returns the test binaries that do not run on a kernel: some kernels have tests of their own. Without `--only`, these run on
    /// other kernels too.
    fn unsuitable(&self, kernel: &Kernel) -> Vec<String> {
        let tests = own::find(&kernel.name).map_or(&[][..], |own| own.tests);
        let target = self.targets.iter().find(|target| target.binaries.arch == kernel.arch);
        let built = target.into_iter().flat_map(|target| &target.binaries.tests);
        let only = &self.args.only;
        let is_unsuitable = |name: &&String| match tests {
            [] => !only.is_empty() && own::has_tests(name) && !only.contains(name),
            _ => !tests.contains(&name.as_str()),
        };
        built.map(|(name, _)| name).filter(is_unsuitable).cloned().collect()
    }
}

/// Returns the requested families that a kernel supports; if there are none, all that it supports.
fn suitable(requested: &[String], supported: Vec<&str>) -> Vec<String> {
    let both: Vec<String> =
        requested.iter().filter(|family| supported.contains(&family.as_str())).cloned().collect();
    if both.is_empty() { supported.into_iter().map(str::to_owned).collect() } else { both }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_runs_tests_under_the_requested_families_that_it_supports() {
        let requested = FAMILIES.map(str::to_owned);
        assert_eq!(suitable(&requested, FAMILIES.to_vec()), FAMILIES);
        assert_eq!(suitable(&requested, vec!["tracepoint"]), ["tracepoint"]);
        assert_eq!(suitable(&requested[..1], vec!["tracepoint"]), ["tracepoint"]);
        assert_eq!(suitable(&requested, vec!["auto"]), ["auto"]);
    }
}
