"""How Hydra starts the runs of a sweep. Hydra finds these classes as `hydra_plugins.misgen`, a link
to this folder; they import nothing heavy, because it looks at them at every start."""
