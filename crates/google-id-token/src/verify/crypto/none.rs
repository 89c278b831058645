//! By neither: this compiles, so that features stay additive, and checks nothing.

pub(in crate::verify) enum PublicKey {}

impl PublicKey {
    pub(in crate::verify) fn rs256(_: Vec<u8>, _: Vec<u8>) -> Option<Self> {
        None
    }

    pub(in crate::verify) fn es256(_: Vec<u8>) -> Option<Self> {
        None
    }

    pub(in crate::verify) fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
        match *self {}
    }
}

pub(in crate::verify) fn hash(_: &[u8]) -> [u8; 32] {
    [0; 32]
}
