//! The links that keep programs attached to their hooks. A link that was cut can be created again.

use std::any::Any;

use aya::{
    Ebpf,
    programs::{BtfTracePoint, FEntry, FExit, KProbe, Program, ProgramError, RawTracePoint},
};

/// A link of any kind; dropping it detaches the program.
type Held = Box<dyn Any>;

struct Link {
    program: &'static str,
    point: String,
    /// `None` after an attempt that failed.
    held: Option<Held>,
}

/// The links of all programs in use, in the order in which they were created.
#[derive(Default)]
pub struct Links(Vec<Link>);

impl Links {
    /// Attaches a loaded program.
    pub fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        program: &'static str,
        point: &str,
    ) -> Result<(), ProgramError> {
        let held = Some(attach(ebpf, program, point)?);
        self.0.push(Link { program, point: point.to_owned(), held });
        Ok(())
    }

    /// Detaches a program.
    pub fn cut(&mut self, program: &str) {
        self.0.retain(|link| link.program != program);
    }

    /// Detaches all programs.
    pub fn cut_all(&mut self) {
        // The link that was created last is cut first: an entry that is seen without its return would look like a loss.
        while self.0.pop().is_some() {}
    }

    /// Returns whether each program is attached, as far as this process knows: no attempt to attach one again has failed.
    #[must_use]
    pub fn are_whole(&self) -> bool {
        self.0.iter().all(|link| link.held.is_some())
    }

    /// Detaches all programs and attaches them again, in the same order. Events in between are not seen. Returns which programs
    /// could not be attached and why; the caller may try again.
    pub fn renew(&mut self, ebpf: &mut Ebpf) -> Vec<(&'static str, ProgramError)> {
        for link in self.0.iter_mut().rev() {
            link.held = None;
        }
        let mut failed = Vec::new();
        for link in &mut self.0 {
            match attach(ebpf, link.program, &link.point) {
                Ok(held) => link.held = Some(held),
                Err(error) => failed.push((link.program, error)),
            }
        }
        failed
    }
}

fn attach(ebpf: &mut Ebpf, name: &str, point: &str) -> Result<Held, ProgramError> {
    let program = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?;
    Ok(match program {
        Program::KProbe(p) => {
            let id = KProbe::attach(p, point, 0)?;
            Box::new(p.take_link(id)?)
        }
        Program::FEntry(p) => {
            let id = FEntry::attach(p)?;
            Box::new(p.take_link(id)?)
        }
        Program::FExit(p) => {
            let id = FExit::attach(p)?;
            Box::new(p.take_link(id)?)
        }
        Program::BtfTracePoint(p) => {
            let id = BtfTracePoint::attach(p)?;
            Box::new(p.take_link(id)?)
        }
        Program::RawTracePoint(p) => {
            let id = RawTracePoint::attach(p, point)?;
            Box::new(p.take_link(id)?)
        }
        _ => return Err(ProgramError::UnexpectedProgramType),
    })
}
