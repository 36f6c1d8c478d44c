# Refs alone: all that the hop knows of a policy.
noinst_LTLIBRARIES += policy/librefset.la
policy_librefset_la_SOURCES = \
	policy/arena.c policy/arena.h \
	policy/claims.c policy/claims.h \
	policy/glob.c policy/glob.h \
	policy/refset.c policy/refset.h \
	policy/slot.c policy/slot.h

noinst_LTLIBRARIES += policy/libpolicy.la
policy_libpolicy_la_SOURCES = \
	policy/command.c policy/command.h policy/command_internal.h \
	policy/command_print.c \
	policy/decide.c policy/decide.h policy/judge.h policy/sent.c \
	policy/dict.c policy/dict.h \
	policy/explain.c policy/explain.h policy/explain_access.c \
	policy/files.c policy/files.h \
	policy/index.c policy/index.h \
	policy/load.c \
	policy/match.c policy/match.h \
	policy/names.c policy/names.h \
	policy/model.h \
	policy/nearest.c policy/nearest.h \
	policy/nearest_access.c policy/nearest_access.h \
	policy/order.c \
	policy/parse.c policy/parse.h \
	policy/parse_access.c \
	policy/parse_block.c \
	policy/parse_demand.c \
	policy/parse_identity.c \
	policy/parse_issuer.c \
	policy/parse_line.c \
	policy/parse_person.c \
	policy/parse_rule.c \
	policy/parse_run.c \
	policy/parse_slot.c \
	policy/parse_target.c \
	policy/parse_test.c \
	policy/policy.c policy/policy.h \
	policy/preset.c policy/preset.h policy/preset_table.c \
	policy/reach.c \
	policy/refs.c policy/refs.h \
	policy/words.c policy/words.h \
	policy/resolve.c policy/resolve.h policy/resolver.h \
	policy/resolve_identity.c \
	policy/selftest.c \
	policy/served.c policy/served.h \
	policy/whatif.c policy/whatif.h \
	policy/zone.c policy/zone.h
policy_libpolicy_la_LIBADD = policy/librefset.la lib/liblex.la

# What only the command line needs.
noinst_LTLIBRARIES += policy/libtools.la
policy_libtools_la_LIBADD = $(FA_LIBS)
policy_libtools_la_SOURCES = \
	policy/cells.c policy/cells.h policy/cells_internal.h \
	policy/cells_place.c policy/cells_session.c policy/cells_value.c \
	policy/compare.c policy/compare.h policy/compare_internal.h \
	policy/compare_ask.c policy/compare_claim.c policy/compare_claim.h \
	policy/compare_decision.c policy/compare_index.c \
	policy/compare_line.c policy/compare_piece.c policy/compare_place.c \
	policy/compare_sent.c \
	policy/compare_value.c policy/compare_word.c \
	policy/export.c policy/export.h policy/export_rule.c \
	policy/format.c policy/format.h \
	policy/items.c policy/items.h \
	policy/language.c policy/language.h policy/language_internal.h \
	policy/language_line.c \
	policy/lint.c policy/lint.h policy/lint_env.c policy/lint_env.h \
	policy/lint_escape.c policy/lint_escape.h \
	policy/lint_unused.c policy/lint_unused.h \
	policy/overlap.c policy/overlap.h policy/overlap_apart.c \
	policy/overlap_example.c \
	policy/past.c policy/past.h \
	policy/regex.c policy/regex.h \
	policy/rehearse.c policy/rehearse.h \
	policy/show.c policy/show.h \
	policy/suggest.c policy/suggest.h policy/suggest_access.c \
	policy/suggest_internal.h policy/suggest_try.c
