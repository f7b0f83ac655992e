dist_man_MANS += man/remap-probe.1 man/remap-run.1 man/remap_mremap.3 man/remap.7
