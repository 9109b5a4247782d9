/* What --help says of all commands, made from their descriptors. */
#ifndef NTC_CTL_OVERVIEW_H
#define NTC_CTL_OVERVIEW_H

/* The names of all commands, each behind a space. Made once, kept. */
const char *ntc_ctl_names(void);

/* The text of `ntcache-ctl --help`, in argp's form. Made once, kept. */
const char *ntc_ctl_overview(void);

#endif
