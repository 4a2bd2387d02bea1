//! The place of a group's extra facts, in one word.

use crate::store::slot::group::Extra;
use crate::store::slot::small_extra::SmallExtra;
use crate::store::tables::arena::Ix;

/// The place of a group's extra facts, in one word: none, an [`Extra`], or a [`SmallExtra`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExtraIx(u32);

/// The place of a group's extra facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtraPlace {
    Nothing,
    Full(Ix<Extra>),
    Small(Ix<SmallExtra>),
}

/// The bit of a place in the table of [`SmallExtra`]; there are far fewer than 2^31 slots.
const IS_SMALL: u32 = 1 << 31;

impl ExtraIx {
    pub(crate) const fn full(ix: Ix<Extra>) -> Self {
        Self(ix.number())
    }

    pub(crate) const fn small(ix: Ix<SmallExtra>) -> Self {
        Self(ix.number() | IS_SMALL)
    }

    pub(crate) const fn is_nothing(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn is_small(self) -> bool {
        self.0 & IS_SMALL != 0
    }

    pub(crate) fn get(self) -> ExtraPlace {
        if self.is_small() {
            Ix::of_number(self.0 & !IS_SMALL).map_or(ExtraPlace::Nothing, ExtraPlace::Small)
        } else {
            Ix::of_number(self.0).map_or(ExtraPlace::Nothing, ExtraPlace::Full)
        }
    }
}
