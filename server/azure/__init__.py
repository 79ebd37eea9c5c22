"""What Azure's own libraries need from us: a transport under Trio, identities, secrets. It knows no service of ours."""
