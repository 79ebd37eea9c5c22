"""Who somebody is and what they may: principals, keys, tokens of an issuer, minted credentials. Opens no connection."""
