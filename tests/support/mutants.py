"""Deliberate breaks of the core, each with the test that must notice: `make mutants` tries them (mutating.py).

Most are defects found in public tools. An edit is small and exact, so that a list that no longer fits the code is noticed
(test_mutants.py), and each is held against one test, so that a test which proves nothing is noticed as well.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One break.

    Attributes:
        name: What is done wrong.
        file: Below tokenviz/.
        old: Text that the file holds exactly once.
        new: What takes its place.
        test: That must turn red: a file of tests/ without its ending, and a function.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


MUTANTS = (
    # Shift, first token, BOS
    Mutant(
        "logits of the token itself, not of the one before", "scoring/kernel.py",
        "place[positions - 1] for place, positions", "place[np.minimum(positions, len(place) - 1)] for place, positions",
        "scoring/test_scoring::test_log_probs_of_a_bigram_model_are_arithmetic",
    ),
    Mutant(
        "a token without a prediction is 0", "scoring/scorer.py",
        "self.logprob = np.full(n, np.nan)", "self.logprob = np.zeros(n)",
        "scoring/test_scoring::test_without_a_bos_the_first_token_is_missing_and_no_other",
    ),
    Mutant(
        "the tokenizer's own BOS is dropped", "models/tokens.py",
        'if mode == "auto":\n        return own', 'if mode == "auto":\n        return ()',
        "models/test_tokens::test_bos_modes_of_a_tokenizer_that_adds_its_own",
    ),
    Mutant(
        "a start token by name comes after the tokenizer's own", "models/tokens.py",
        "return (_named_token(tokenizer, mode, model_name),)",
        "return (*_own_prefix(tokenizer), _named_token(tokenizer, mode, model_name))",
        "models/test_tokens::test_a_start_token_by_name_stands_alone",
    ),
    Mutant(
        "two BOS before a text that brings its own", "scoring/windows.py",
        "opens = len(prefix) if tuple(token_ids[: len(prefix)]) == prefix else 0", "opens = 0",
        "scoring/test_scoring::test_the_bos_string_at_the_start_of_a_text_serves_as_its_bos",
    ),
    # The family that is made here
    Mutant(
        "weights that were trained here are known by their text alone", "models/loading.py",
        'identity = f"sha256:{folders.model_files(folder, spec.name).sha256()}"', "identity = model.identity",
        "models/test_family::test_checkpoints_have_names_of_their_own",
    ),
    Mutant(
        "the last token of the text is never learnt", "models/family.py",
        "random.integers(len(ids) - recipe.context,", "random.integers(len(ids) - recipe.context - 1,",
        "models/test_family::test_windows_are_stretches_of_the_text_in_an_order_that_the_seed_says",
    ),
    Mutant(
        "a token is learnt from itself", "models/family.py",
        "batch[:, 1:].flatten()", "batch[:, :-1].flatten()",
        "models/test_family::test_training_lowers_the_loss_that_scoring_sees",
    ),
    # Prompts, candidates, chats
    Mutant(
        "a continuation without a prediction for its first token has the sum of the others", "units/prompts.py",
        "logprob = np.where(complete, sums.logprob[after], np.nan)", "logprob = sums.logprob[after]",
        "units/test_prompts::test_a_continuation_within_the_first_token_has_no_number",
    ),
    Mutant(
        "the rank of a candidate counts itself twice", "scoring/watching.py",
        "(logits > values[:, place, None])", "(logits >= values[:, place, None])",
        "scoring/test_watching::test_candidates_of_a_bigram_model_are_arithmetic",
    ),
    Mutant(
        "the token that ends an assistant's turn is in no span", "models/chat.py",
        "end += _common(_tail(model, messages[:number]), whole[end:], model)", "end += 0",
        "models/test_chat::test_the_roles_of_every_family_are_found",
    ),
    # Spans
    Mutant(
        "what no span names is lost", "data/spans.py",
        "if span.start > reached:", "if span.start > reached + 1:",
        "data/test_named_spans::test_what_no_span_names_is_a_row_without_a_name",
    ),
    Mutant(
        "a token that begins inside a character of the span before does not cross", "units/sums.py",
        "(scores.first_character < start[unit])", "(scores.start < start[unit])",
        "data/test_named_spans::"
        "test_a_token_crosses_the_border_before_its_first_whole_character_if_it_begins_inside_the_one_before",
    ),
    Mutant(
        "spans are no part of what a run holds", "harness/kind.py",
        "if text.spans else {}", "if False else {}",
        "data/test_named_spans::test_a_tracked_comparison_by_span_comes_back_and_is_computed_again",
    ),
    # Reading times
    Mutant(
        "the subjects of an item that is left out are not known", "stats/regression.py",
        "mean = mean + self.subjects[readings.subject]", "mean = mean + 0 * self.subjects[readings.subject]",
        "stats/test_regression::test_an_item_that_was_left_out_is_jointly_normal_and_its_subjects_are_known",
    ),
    Mutant(
        "gains are found on the items that were fitted", "stats/regression.py",
        "train, test = readings.part(~held), readings.part(held)", "train, test = readings, readings.part(held)",
        "stats/test_regression::test_a_gain_is_what_a_plain_loop_finds",
    ),
    Mutant(
        "the likelihood of random intercepts leaves out their determinant", "stats/regression.py",
        "deviance = 2 * float(np.log(np.diag(lower)).sum()) + n", "deviance = n",
        "stats/test_regression::test_a_mixed_model_is_at_the_maximum_of_the_likelihood_written_out",
    ),
    Mutant(
        "a reading time of 0 is a time", "units/reading_times.py",
        "if number <= 0:", "if number < 0:",
        "units/test_reading_times::test_a_bad_time_is_named_with_its_row",
    ),
    Mutant(
        "a reading stands with the first unit of its item", "units/reading_times.py",
        "yield row, (passages[label], units[passages[label]][cells[-1]])", "yield row, (passages[label], 1)",
        "units/test_reading_times::test_readings_stand_with_their_own_units",
    ),
    # Batches and padding
    Mutant(
        "padding counts as tokens of the sequences before it", "scoring/kernel.py",
        "i * longest + np.arange(len(ids))", "sum(map(len, rows[:i])) + np.arange(len(ids))",
        "scoring/test_kernel::test_company_changes_nothing_for_any_architecture",
    ),
    Mutant(
        "padding is told by the id 0", "scoring/kernel.py",
        "mask[i, : len(row)] = 1", "mask[i, : len(row)] = torch.from_numpy(row != 0)",
        "scoring/test_kernel::test_every_architecture_agrees_with_the_exact_loop",
    ),
    Mutant(
        "a shared beginning is one token too long", "scoring/windows.py",
        "return int(different[0]) if len(different) else n", "return int(different[0]) + 1 if len(different) else n",
        "scoring/test_packs::test_every_token_sees_what_stands_before_it_in_its_sequence",
    ),
    Mutant(
        "an id beyond the logits is let through", "scoring/scorer.py",
        "if token_id >= model.vocabulary:", "if token_id > model.vocabulary:",
        "scoring/test_scoring::test_an_id_beyond_the_logits_is_refused",
    ),
    # Long texts
    Mutant(
        "tokens where windows overlap are scored again", "scoring/windows.py",
        "windows.append(Window(passage, begin, end, scored))",
        "windows.append(Window(passage, begin, end, begin + (not n_prefix)))",
        "scoring/test_windows::test_windows_by_hand",
    ),
    Mutant(
        "a window holds one token less than it may", "scoring/windows.py",
        "room = context - n_prefix", "room = context - n_prefix - 1",
        "scoring/test_windows::test_windows_by_hand",
    ),
    Mutant(
        "a sliding window is one token short", "scoring/attention.py",
        "min(past + begin, rule.window - 1)", "min(past + begin, rule.window - 2)",
        "scoring/test_packing::test_packed_attention_is_attention",
    ),
    Mutant(
        "a token of a long text sees the one after it", "scoring/attention.py",
        "self._mask(m, seen - later, 1, scores.device)", "self._mask(m, seen - later, 2, scores.device)",
        "scoring/test_packing::test_packed_attention_is_attention",
    ),
    # Numbers
    Mutant(
        "the log-softmax of half precision in half precision", "scoring/statistics.py",
        "logits if logits.dtype == torch.float64 else logits.float()", "logits.clone()",
        "scoring/test_position_statistics::test_half_precision_logits_get_a_float32_softmax",
    ),
    Mutant(
        "a certain token is nearly certain", "scoring/statistics.py",
        "weighted - rest * out[1]", "weighted",
        "scoring/test_position_statistics::test_a_certain_token_is_exactly_certain_wherever_it_is_and_whatever_its_logit",
    ),
    Mutant(
        "a tied token has the worse rank", "scoring/statistics.py",
        "torch.gt(logits, bounds[", "torch.ge(logits, bounds[",
        "scoring/test_position_statistics::test_a_tied_token_has_the_better_rank",
    ),
    Mutant(
        "logits that are NaN are recorded", "scoring/statistics.py",
        "if not finite.all():", "if not finite.any():",
        "scoring/test_position_statistics::test_one_bad_logit_of_a_token_that_was_not_asked_for_is_noticed",
    ),
    Mutant(
        "nats are called bits", "stats/estimate.py",
        "(number / math.log(2) for number in", "(number for number in",
        "stats/test_estimate::test_bits_are_nats_by_the_logarithm_of_two",
    ),
    Mutant(
        "a surprisal in nats is called bits", "figures/heatmap/measures.py",
        "take=lambda scores: -scores.logprob / math.log(2)", "take=lambda scores: -scores.logprob",
        "figures/test_definition::test_measures_of_tokens_are_what_they_say",
    ),
    Mutant(
        "perplexity is 2 to the mean surprisal in nats", "data/summary.py",
        "perplexity_per_token=_exp(-mean_logprob)", "perplexity_per_token=2.0**-mean_logprob",
        "data/test_scores::test_perplexity_is_e_to_the_mean_surprisal_in_nats",
    ),
    Mutant(
        "bits per byte are per character", "data/scores.py",
        "n_bytes=int(self.n_bytes[counted].sum())", "n_bytes=int(self.n_characters[counted].sum())",
        "data/test_scores::test_bits_per_byte_counts_the_bytes_of_the_scored_characters",
    ),
    Mutant(
        "a shared character counts its bits without its bytes", "data/scores.py",
        "np.logical_and.reduceat(self.scored", "np.logical_or.reduceat(self.scored",
        "data/test_scores::test_a_character_with_an_unscored_token_counts_neither_bits_nor_bytes_where_its_bytes_are_not_told_apart",
    ),
    Mutant(
        "the mean of a corpus is the mean of its parts' means", "data/summary.py",
        "getattr(part, name) * part.n_scored for part in scored) / n_scored",
        "getattr(part, name) for part in scored) / len(scored)",
        "scoring/test_streaming::test_the_file_holds_what_score_gives",
    ),
    Mutant(
        "GPT-2's layers are rounded along their output", "models/conversion.py",
        "transposed = isinstance(module, Conv1D)", "transposed = False",
        "models/test_quantization::test_the_transposed_layers_of_gpt2_are_rounded_along_their_input_too",
    ),
    # Words, tokenizers, characters
    Mutant(
        "spans end one character early", "models/offsets.py",
        "ends=begun[ends]", "ends=begun[np.maximum(ends - 1, 0)]",
        "models/test_tokens::test_spaces_belong_to_the_token_after_them",
    ),
    Mutant(
        "what a tokenizer drops at the end of a text is lost", "models/offsets.py",
        "last[1] = len(passage)", "last[1] = self.end",
        "models/test_tokens::test_characters_that_the_tokenizer_drops_go_to_the_token_after_them",
    ),
    Mutant(
        "a byte that no token stands for is the next token's", "models/offsets.py",
        "return not self.vocabulary.knows_byte(unit.met[place])", "return False",
        "models/test_offsets::test_characters_that_byte_level_bpe_drops_are_rows_of_their_own",
    ),
    Mutant(
        "a token goes on after a hole with its score", "models/offsets.py",
        "if all(row[0] != UNREAD for row in since):", "if since:",
        "models/test_offsets::test_a_token_over_a_hole_has_a_row_before_it_and_one_without_a_score_after_it",
    ),
    Mutant(
        "parts of a composed letter are units", "models/offsets.py",
        "and before + after == self.met(self.passage[begin:end])", "",
        "models/test_offsets::test_decomposed_text_is_cut_as_composed_text_is",
    ),
    Mutant(
        "a text whose offsets are wrong is scored", "models/offsets.py",
        "if reading.vocabulary.drops and not complete:", "if not complete and not offsets:",
        "models/test_offsets::test_a_text_whose_dropped_characters_cannot_be_told_is_refused",
    ),
    Mutant(
        "a character's bytes are all its first token's", "models/offsets.py",
        "n_bytes=ends - begins", "n_bytes=np.diff(np.append(0, np.cumsum(first_of_character)[begun[ends] - 1]))",
        "models/test_offsets::test_bytes_of_byte_level_tokens_are_the_letters_of_their_pieces",
    ),
    Mutant(
        "bos=auto is what comes after a text", "models/tokens.py",
        "ids[: ids.index(_ANY_ID)]", "ids[ids.index(_ANY_ID) + 1 :]",
        "models/test_tokens::test_auto_is_what_the_post_processor_puts_before_a_text",
    ),
    Mutant(
        "vocabularies of one size are one vocabulary", "models/tokens.py",
        "json.dumps(vocabulary, ensure_ascii=False)", "json.dumps(len(vocabulary))",
        "models/test_tokens::test_two_vocabularies_of_one_size_have_two_fingerprints",
    ),
    Mutant(
        "line ends of a text are changed", "data/rows.py",
        'return data.decode("utf-8")', 'return data.decode("utf-8").replace("\\r\\n", "\\n")',
        "data/test_texts::test_a_file_is_kept_byte_for_byte",
    ),
    Mutant(
        "different tokens are laid side by side one by one", "comparing/alignment.py",
        "and np.array_equal(a.token_id, b.token_id)", "and len(a) == len(b)",
        "comparing/test_alignment::test_equal_pieces_of_other_ids_are_not_the_same_tokens",
    ),
    Mutant(
        "segments leave out the end of a text", "units/words.py",
        "np.append(scores.start[rows][has_characters], scores.end[rows[-1]])", "scores.start[rows][has_characters]",
        "comparing/test_alignment::test_two_tokenizers_meet_where_both_have_a_boundary",
    ),
    Mutant(
        "probabilities of a word's tokens are added", "units/word_scores.py",
        "np.add.reduceat(scores.logprob, first)",
        "np.log(np.add.reduceat(np.exp(scores.logprob), first))",
        "units/test_word_scores::test_attached_words_by_hand",
    ),
    Mutant(
        "the end of a word is taken off, and that of the one before put on", "units/word_scores.py",
        "logprob + end_logprob - before", "logprob - end_logprob + before",
        "units/test_word_scores::test_attached_words_by_hand",
    ),
    Mutant(
        "a token that crosses a border belongs to the earlier unit", "units/sums.py",
        "np.maximum(scores.end - 1, 0)", "scores.start",
        "units/test_items::test_a_token_that_crosses_a_border_belongs_to_the_later_unit",
    ),
    Mutant(
        "a unit with a token that is not scored has a number", "units/tidy.py",
        'sums.logprob if by == "item" else np.where(sums.complete, sums.logprob, np.nan)', "sums.logprob",
        "units/test_items::test_every_column_is_kept_and_the_units_before_are_repeated",
    ),
    Mutant(
        "a tie between two sentences is right", "units/pairs.py",
        "(np.sign(difference) + 1) / 2", "(difference >= 0) * 1.0",
        "units/test_pairs::test_every_pair_is_decided_by_each_rule",
    ),
    Mutant(
        "pairs of one group are taken for independent", "stats/intervals.py",
        "float((off**2).sum())", "float(((correct - share.value) ** 2).sum())",
        "stats/test_formulas::test_the_clustered_interval_covers_shares_that_differ_between_groups",
    ),
    # Comparison
    Mutant(
        "two correlations come from different units", "stats/differences.py",
        "known = ~(np.isnan(a) | np.isnan(b) | np.isnan(c))", "known = ~(np.isnan(a) | np.isnan(b))",
        "stats/test_referee::test_both_correlations_come_from_the_same_units_and_resamples",
    ),
    Mutant(
        "random flips may give a p of 0", "stats/differences.py",
        "(1 + as_far) / (1 + flips)", "as_far / flips",
        "stats/test_referee::test_large_samples_are_flipped_at_random_with_a_seed_and_never_have_p_of_0",
    ),
    Mutant(
        "a line that turns past the vertical has jumped to the other side", "stats/intervals.py",
        "(turned + math.pi / 2) % math.pi - math.pi / 2", "turned",
        "stats/test_referee::test_an_interval_of_a_slope_knows_that_lines_have_no_direction",
    ),
    Mutant(
        "every interval of a family has 95 %", "stats/intervals.py",
        "return 1 - (1 - level) / max(count, 1)", "return level",
        "stats/test_referee::test_levels_for_several_intervals_at_once",
    ),
    Mutant(
        "a missing log-prob takes part in a correlation as 0", "stats/definitions.py",
        "return x[both], y[both]", "return np.nan_to_num(x), np.nan_to_num(y)",
        "stats/test_statistics::test_pairs_with_a_missing_value_are_left_out_and_only_those",
    ),
    Mutant(
        "a correlation that is not determined is 0", "stats/definitions.py",
        "math.nan if reason else float(stats.pearsonr", "0.0 if reason else float(stats.pearsonr",
        "stats/test_statistics::test_fewer_than_three_pairs_have_no_correlation_and_say_so",
    ),
    Mutant(
        "concordance forgives a shift", "stats/definitions.py",
        "+ float(y.var()) + shift**2)", "+ float(y.var()))",
        "stats/test_statistics::test_concordance_by_hand",
    ),
    Mutant(
        "a difference is the first minus the second", "stats/definitions.py",
        "_of_differences(y - x, lambda difference: float(difference.mean()))",
        "_of_differences(x - y, lambda difference: float(difference.mean()))",
        "stats/test_statistics::test_mean_difference_is_second_minus_first",
    ),
    Mutant(
        "ranks of ties in a resample are the lowest, not the mean", "stats/replicates.py",
        "Ranked(less + up_to - before[-1], up_to - less)", "Ranked(2 * less - before[-1], up_to - less)",
        "stats/test_replicates::test_each_unit_once_gives_the_statistic_itself",
    ),
    Mutant(
        "KL is of a from b where b from a is meant", "scoring/statistics.py",
        "kl_ab=float64(_kl_terms(p, q, d)", "kl_ab=float64(_kl_terms(q, p, -d)",
        "scoring/test_distributions::test_the_two_directions_differ_where_the_distributions_do",
    ),
    Mutant(
        "rounding makes a KL negative", "scoring/statistics.py",
        "p * (close.expm1() - close).clamp_(min=0)", "-p * d",
        "scoring/test_distributions::test_rounding_never_makes_a_divergence_negative",
    ),
    Mutant(
        "intervals as if units were independent", "stats/resampling.py",
        "return int(min(math.ceil(length - 1e-9), n // 4))", "return 1",
        "stats/test_resampling::test_blocks_of_independent_values_have_the_cube_root",
    ),
    Mutant(
        "one long passage counts like many", "stats/resampling.py",
        "float(sizes.sum() ** 2 / (sizes**2).sum())", "float(len(sizes))",
        "stats/test_resampling::test_passages_count_by_their_sizes",
    ),
    Mutant(
        "the same ids are the same tokens, wherever they end", "comparing/alignment.py",
        "\n        and np.array_equal(a.end, b.end)", "",
        "comparing/test_alignment::test_the_same_ids_that_end_elsewhere_are_not_the_same_tokens",
    ),
    Mutant(
        "the same ids are the same tokens, in whatever passage", "comparing/alignment.py",
        "\n        and np.array_equal(a.passage, b.passage)", "",
        "comparing/test_alignment::test_the_same_ids_that_end_elsewhere_are_not_the_same_tokens",
    ),
    Mutant(
        "blocks are as long as the bits depend on each other, whatever the bytes", "stats/summaries.py",
        "return self.above - self.value * self.below", "return self.above",
        "stats/test_summaries::test_what_tokens_do_to_a_ratio_adds_up_to_nothing",
    ),
    Mutant(
        "a percentile is one value further, by rounding", "stats/summaries.py",
        "self.share * up_to[-1] - 1e-9", "self.share * up_to[-1] + 1e-9",
        "stats/test_summaries::test_percentiles_of_whole_positions_are_the_values_at_them",
    ),
    Mutant(
        "a percentile is one value further where its share is not exact", "stats/summaries.py",
        "self.share * up_to[-1] - 1e-9", "self.share * up_to[-1]",
        "stats/test_summaries::test_percentiles_of_whole_positions_are_the_values_at_them",
    ),
    Mutant(
        "passages of one number in several texts are one passage", "stats/resampling.py",
        'GROUPS: tuple[Groups, ...] = ("texts", "passages", "prompts")',
        'GROUPS: tuple[Groups, ...] = ("passages", "prompts")',
        "comparing/test_comparison_intervals::test_texts_are_drawn_whole_whatever_their_passages_are_numbered",
    ),
    Mutant(
        "two texts have an interval", "stats/resampling.py",
        "if count < FEWEST_GROUPS:", "if count < 2:",
        "stats/test_resampling::test_two_texts_or_passages_are_not_enough_and_are_not_cut_into_blocks",
    ),
    Mutant(
        "what varies from text to text is left to the resamples", "stats/intervals.py",
        "error = max(error, _jackknife(kind, value, left_out))", "pass",
        "stats/test_intervals::test_an_interval_over_texts_is_no_narrower_than_the_jackknifes",
    ),
    Mutant(
        "the jackknife's error of a coefficient is made smaller", "stats/intervals.py",
        "factor = 1.0 if kind.bound else", "factor = 1.0 if not kind.bound else",
        "stats/test_intervals::test_an_interval_over_texts_is_no_narrower_than_the_jackknifes",
    ),
    Mutant(
        "a text is counted by its tokens, not as a whole", "stats/resampling.py",
        'labels[:, None] != groups', 'labels[:, None] == groups',
        "stats/test_resampling::test_each_text_is_left_out_once",
    ),
    Mutant(
        "the ends of an interval change places", "stats/intervals.py",
        "(math.tanh(centre - t * error), math.tanh(centre + t * error))",
        "(math.tanh(centre + t * error), math.tanh(centre - t * error))",
        "stats/test_intervals::test_a_correlation_is_lopsided_and_stays_in_range",
    ),
    Mutant(
        "few pieces make no wider interval", "stats/intervals.py",
        "special.stdtrit(pieces - 1, (1 + level) / 2)", "special.ndtri((1 + level) / 2)",
        "stats/test_intervals::test_a_plain_interval_is_students",
    ),
    # Drawing
    Mutant(
        "panels have each their own limits", "figures/heatmap/definition.py",
        "found = _limits(limits, chosen, panels)", "found = _limits(limits, chosen, panels[:1])",
        "figures/test_definition::test_limits_are_by_default_the_least_and_the_greatest_of_all_panels",
    ),
    Mutant(
        "a set has the limits of its first text", "figures/heatmap/definition.py",
        'limits_of(values, chosen, "set")', 'limits_of(values[:1], chosen, "set")',
        "figures/test_definition::test_limits_are_shared_by_a_set",
    ),
    Mutant(
        "one outlier flattens the scale between percentiles", "figures/heatmap/measures.py",
        "ends = (0.0, 100.0) if between is None else (between.low, between.high)", "ends = (0.0, 100.0)",
        "figures/test_definition::test_percentiles_keep_one_outlier_from_flattening_the_scale",
    ),
    Mutant(
        "a grey copy loses the order", "figures/typeset/colours.py",
        '"viridis": ColourMap("viridis_r")', '"viridis": ColourMap("jet")',
        "figures/test_colours::test_a_grey_copy_keeps_the_order",
    ),
    Mutant(
        "letters on teal cannot be read in grey", "figures/typeset/colours.py",
        "for seen in (ground, *_greys(ground)))", "for seen in (ground,))",
        "figures/test_colours::test_text_is_readable_in_grey_on_every_colour_of_the_map",
    ),
    Mutant(
        "a grey copy by luminance is not looked at", "figures/typeset/colours.py",
        "for grey in (*lumas, even)]", "for grey in lumas]",
        "figures/test_colours::test_text_is_readable_in_grey_on_every_colour_of_the_map",
    ),
    Mutant(
        "surprising tokens are dark by some measures", "figures/heatmap/definition.py",
        'falling = measure.dark == "low"', "falling = False",
        "figures/test_definition::test_the_predictable_end_is_dark_by_every_measure",
    ),
    Mutant(
        "what is not scored has a colour of the scale", "figures/typeset/colours.py",
        "return None if math.isnan(value) else self.colours.at(self._along(value))",
        "return self.colours.at(0.0 if math.isnan(value) else self._along(value))",
        "figures/test_colours::test_unscored_has_no_colour",
    ),
    Mutant(
        "dollar signs of a text are formulas", "figures/heatmap/drawing.py",
        '"va": place, "parse_math": False, "usetex"', '"va": place, "usetex"',
        "figures/test_heatmap::test_any_text_draws_and_saves",
    ),
    Mutant(
        "a text is HTML", "figures/heatmap/html.py",
        'escape(part.replace("\\0", "␀"))', 'Markup(part.replace("\\0", "␀"))',
        "figures/test_heatmap_html::test_no_token_brings_a_tag",
    ),
    Mutant(
        "a text is part of the report's page", "figures/report/page.py",
        "data=htmlsafe_json_dumps(data, dumps=compact_json)", "data=Markup(compact_json(data))",
        "figures/test_report::test_a_text_is_carried_exactly_and_brings_no_tag",
    ),
    Mutant(
        "a text is LaTeX", "figures/typeset/latex.py",
        "parts.append(COMMANDS.get(sign, sign))", "parts.append(sign)",
        "figures/test_heatmap_latex::test_every_sign_that_tex_obeys_is_escaped",
    ),
    Mutant(
        "a mark that opens a token is set in the font of Latin letters", "figures/heatmap/panels.py",
        "owners[k].append(row)", "owners[k][:] = [row]",
        "figures/test_heatmap_latex_scripts::test_a_mark_that_opens_a_token_is_set_with_its_letter_and_in_its_font",
    ),
    Mutant(
        "a line begins with a comma", "figures/heatmap/panels.py",
        'kind: Break = "word" if start in cuts else', 'kind: Break = "word" if start in cuts or start == begin else',
        "figures/test_layout::test_lines_are_broken_between_words_and_none_begins_with_closing_punctuation",
    ),
    Mutant(
        "the parts of a Hebrew letter run from left to right", "figures/heatmap/layout.py",
        "cells[i].rows[:: -1 if level % 2 else 1]", "cells[i].rows",
        "figures/test_layout::test_the_parts_of_a_right_to_left_character_run_from_right_to_left",
    ),
    Mutant(
        "a terminal obeys a text", "figures/heatmap/files.py",
        "drawn.append(visible(piece.text), style=style)", "drawn.append(piece.text, style=style)",
        "figures/test_heatmap_terminal::test_control_characters_never_reach_the_terminal",
    ),
    Mutant(
        "a sign is lost in one format", "figures/heatmap/latex.py",
        "{'u' if heatmap.scale.underlined(value) else 'b'}", "b",
        "figures/test_conservation::test_every_format_shows_the_same_boxes_colours_and_marks",
    ),
    Mutant(
        "one format has a scale of its own", "figures/heatmap/drawing.py",
        "            colour = self.heatmap.scale.colour(value)", "            colour = self.heatmap.scale.colour(value / 2)",
        "figures/test_conservation::test_every_format_shows_the_same_boxes_colours_and_marks",
    ),
    Mutant(
        "a figure's bytes hold the time", "figures/typeset/saving.py",
        '"Creator": "tokenviz", "Date": None}', '"Creator": "tokenviz"}',
        "figures/test_saving::test_no_file_holds_a_date",
    ),
    # Store
    Mutant(
        "a result of other settings is taken for finished", "harness/kind.py",
        "            **vars(settings),\n", "",
        "harness/test_grid::test_every_setting_moves_the_fingerprint",
    ),
    Mutant(
        "a result of another dtype is taken for finished", "harness/kind.py",
        '"spec": asdict(model.spec)', '"spec": asdict(model.spec) | {"dtype": ""}',
        "harness/test_grid::test_every_option_of_a_model_moves_the_fingerprint",
    ),
    Mutant(
        "a result of another text of the same name is taken for finished", "harness/kind.py",
        '            "text_sha256": text.sha256,\n', "",
        "harness/test_grid::test_a_changed_text_moves_the_fingerprint",
    ),
    Mutant(
        "a run that is not finished is taken for finished", "tracking/runs.py",
        'self._search("FINISHED", most=1, fingerprint', 'self._search("", most=1, fingerprint',
        "tracking/test_runs::test_a_delivery_that_died_is_closed_and_made_again",
    ),
    Mutant(
        "MLflow shows the point of a curve that was written last", "tracking/embedded_runs.py",
        'if last is None or (step, time, point["value"]) > (last["step"], last["timestamp"], last["value"]):', "if True:",
        "tracking/test_runs::test_a_run_is_written_as_mlflows_client_writes_it",
    ),
    Mutant(
        "a file has its name before it is on the disk", "base/disk.py",
        "    sync(source)\n", "",
        "base/test_durable::test_nothing_has_its_name_before_it_is_on_the_disk",
    ),
    Mutant(
        "pages that are neither in the database nor in its log are zeros", "tracking/condition.py",
        "    if _is_cut(connection, path):\n", "    if False:\n",
        "tracking/test_repairs::test_nothing_that_cannot_be_read_is_called_ready",
    ),
    Mutant(
        "a store of an older MLflow is taken for this one's", "tracking/condition.py",
        "    if revision == newest:\n", "    if revision in known:\n",
        "tracking/test_repairs::test_a_store_of_an_older_mlflow_is_migrated_when_asked_and_kept_as_it_was",
    ),
    Mutant(
        "a run's record that was changed is believed", "tracking/embedded_runs.py",
        ".hexdigest() == content[\"sha256\"]", ".hexdigest() != \"\"",
        "tracking/test_repairs::test_a_record_that_is_not_whole_is_not_believed",
    ),
    Mutant(
        "a run that was removed comes back", "tracking/finding.py",
        "                keep_record(store.database, artifacts_of(store.folder), run.run_id)\n", "                pass\n",
        "tracking/test_repairs::test_a_lost_or_damaged_database_is_said_left_alone_and_made_again",
    ),
    Mutant(
        "a torn staged run is taken for whole", "tracking/staged_runs.py",
        "expected.items() <= checksums(folder / _FILES).items()", "expected",
        "tracking/test_outbox::test_a_torn_staged_run_is_noticed_and_removed",
    ),
    Mutant(
        "a damaged table is read as if it were whole", "records/run.py",
        "if {main, listed[artifact] if listed else None} - {None, digest}:", "if False:",
        "records/test_records::test_a_measure_of_a_damaged_table_is_refused",
    ),
    Mutant(
        "whoever writes the list of files again is believed", "tracking/staged_runs.py",
        "tags.get(LIST_TAG) not in (None, checksum(path))", "False",
        "cli/test_doctor::test_a_list_that_was_written_again_is_noticed",
    ),
    Mutant(
        "a table is not compared with the numbers of its run", "records/tables.py",
        "    if differing := _differing(run.metrics, found):\n        raise", "    if False:\n        raise",
        "records/test_records::test_a_table_that_everything_vouches_for_is_compared_with_the_numbers",
    ),
    Mutant(
        "a comparison is read back over other units than its own", "records/tables.py",
        'run.params.get("by") or align(a, b).by', "align(a, b).by",
        "records/test_records::test_a_comparison_is_what_was_recorded_to_the_bit",
    ),
    Mutant(
        "a number that is not determined is logged as 0", "tracking/entities.py",
        "finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}",
        "finite = {name: float(value) if math.isfinite(value) else 0.0 for name, value in metrics.items()}",
        "tracking/test_runs::test_an_undetermined_number_is_absent_not_zero",
    ),
    Mutant(
        "weights that were changed are forgotten", "scoring/memory.py",
        " or not np.array_equal(in_memory, in_memory & of_file)", "",
        "scoring/test_memory::test_weights_that_were_changed_are_kept",
    ),
    Mutant(
        "rows of an embedding that were read stay in memory", "scoring/memory.py",
        "            forget_pages(embedding.weight)\n", "",
        "scoring/test_memory::test_rows_that_were_read_do_not_stay_in_memory",
    ),
    Mutant(
        "a copy of an embedding reads the original's rows", "scoring/memory.py",
        "MethodType(_look_up, embedding)", "lambda ids: _look_up(embedding, ids)",
        "scoring/test_memory::test_a_copy_of_an_embedding_reads_its_own_rows",
    ),
    Mutant(
        "scoring leaves the embedding as it is", "scoring/kernel.py",
        "            forget_rows_read(model.network.get_input_embeddings())\n", "",
        "scoring/test_memory::test_scoring_lets_go_of_the_rows_it_read",
    ),
    Mutant(
        "threads make the first call of an elementary function", "models/runtime.py",
        "torch.ones(1).exp()", "pass",
        "models/test_loading::test_the_first_cosines_of_a_process_are_as_exact_as_later_ones",
    ),
    Mutant(
        "loading leaves the first call to threads", "models/loading.py",
        "    warm_up_vector_math()\n", "",
        "models/test_loading::test_loading_makes_the_first_call_with_one_number",
    ),
    # Models
    Mutant(
        "weights in sub-folders move no identity", "models/folders.py",
        "{*weights, *_more_described(folder, name)} - set(usual)", "{*_more_described(folder, name)} - set(usual)",
        "models/test_folders::test_weights_in_sub_folders_are_part_of_the_identity",
    ),
    Mutant(
        "an index may lead anywhere", "models/folders.py",
        "        _inside(folder, file, index, name)", "        pass",
        "models/test_folders::test_an_index_that_leads_out_of_the_folder_is_refused",
    ),
    Mutant(
        "weights that the config does not use are left out", "models/supported.py",
        "if not unused:", "if unused or not unused:",
        "models/test_unused::test_layers_beyond_those_of_the_config_are_refused",
    ),
    Mutant(
        "what transformers leaves out by its own lists is let through", "models/supported.py",
        "unexpected | _hushed_up(network, shapes)", "unexpected",
        "models/test_unused::test_a_real_bias_by_the_name_of_a_mask_is_refused",
    ),
    Mutant(
        "an adapter is left out", "models/loading.py",
        "return merge_adapter(network, resolved.adapter, label).to(dtype) if resolved.adapter else network", "return network",
        "models/test_adapters::test_an_adapter_of_its_own_is_merged_into_its_model",
    ),
    Mutant(
        "tensors of a GGUF file are left out", "models/conversion.py",
        "if held > taken:", "if held > 2 * taken:",
        "models/test_gguf::test_tensors_that_transformers_does_not_take_are_refused",
    ),
    Mutant(
        "a tokenizer is rebuilt into another", "models/tokens.py",
        "    check_pieces(tokenizer, folder, label)\n", "",
        "models/test_pieces::test_a_tokenizer_that_was_rebuilt_into_another_is_refused",
    ),
    Mutant(
        "encoder-decoders are scored", "models/supported.py",
        'getattr(config, "is_encoder_decoder", False)', "False",
        "models/test_supported::test_encoder_decoders_are_refused_by_name",
    ),
    Mutant(
        "a quick form is taken unseen", "scoring/layers.py",
        "self._quick = None if output is None else quick", "output, self._quick = hidden, quick",
        "scoring/test_packing::test_a_quick_form_that_gives_other_numbers_is_not_used",
    ),
    Mutant(
        "long texts are not looked at", "scoring/kernel.py",
        "if self._seen_far or length <= 2 * _PROBE_LENGTH:", "if length:",
        "scoring/test_kernel::test_a_model_that_sees_what_follows_in_long_texts_only_is_refused",
    ),
    Mutant(
        "the positions of padding are counted", "models/loading.py",
        " - max(unused, default=0)", "",
        "scoring/test_kernel::test_positions_that_begin_after_that_of_padding_are_not_counted",
    ),
    Mutant(
        "what a killed process left is taken for a model", "models/cache.py",
        "shutil.rmtree(scratch, ignore_errors=True)  # what an interrupted process left", "pass",
        "models/test_catalogue::test_what_a_killed_process_left_is_thrown_away",
    ),
    Mutant(
        "what stdout does not take is lost without an error", "base/terminal.py",
        "            sys.stdout.flush()  # while an error can still be said, and be the exit code\n", "",
        "base/test_streams::test_results_that_do_not_fit_are_an_error",
    ),
    Mutant(
        "a warning is information", "base/progress.py",
        "logging.WARNING if notice.warning else logging.INFO", "logging.INFO",
        "base/test_notices::test_without_any_set_up_python_prints_warnings_and_keeps_information_back",
    ),
    Mutant(
        "hidden files of a folder are passages", "data/texts.py",
        'return name.startswith((".", "~")) or name == "__MACOSX"', "return False",
        "data/test_texts::test_a_folders_hidden_files_are_left_out_and_counted",
    ),
    Mutant(
        "the second of two equal keys counts", "data/rows.py",
        "if len(row) < len(pairs):", "if False:",
        "project/test_messages::test_one_line_is_said_and_nothing_is_left",
    ),
    Mutant(
        "the last of two values counts", "harness/options.py",
        "if times > 1:", "if times > 2:",
        "cli/test_options::test_an_option_of_one_value_counts_once",
    ),
    Mutant(
        "a password on the command line is recorded", "tracking/provenance.py",
        'value = value.replace(secret, f"${name}")', "pass",
        "tracking/test_secrets::test_what_is_a_secret_is_replaced_by_its_name",
    ),
    Mutant(
        "what was pulled with titles is called stale", "paper/manifest.py",
        'order["title"] = True', 'order["title"] = False',
        "paper/test_pulling::test_a_folder_of_the_time_when_all_figures_had_a_title_is_still_known",
    ),
    Mutant(
        "an edited file of a paper is replaced", "paper/manifest.py",
        "return path.is_file() and digest_of(path) == self.sha256", "return path.is_file()",
        "paper/test_checking::test_missing_and_edited_files_are_told_apart",
    ),
    # Scores from elsewhere
    Mutant(
        "0.0 for a first token is imported", "dumps/matching.py",
        "        if tokens[0].logprob == 0:\n            raise", "        if False:\n            raise",
        "dumps/test_imports::test_a_planted_mistake_is_refused_with_its_row",
    ),
    Mutant(
        "a missing start token is not noticed", "dumps/matching.py",
        "    if prefix:\n        raise TextError(_lacks_bos(known))\n", "",
        "dumps/test_imports::test_a_start_token_is_taken_off_and_recorded",
    ),
    Mutant(
        "alternatives may contradict a log-prob", "dumps/matching.py",
        "return abs(listed - value.logprob) <= _EQUAL", "return True",
        "dumps/test_imports::test_a_planted_mistake_is_refused_with_its_row",
    ),
    Mutant(
        "an imported run has the fingerprint of a scored one's weights", "harness/kinds/score.py",
        '"identity": spec.identity, ', "",
        "dumps/test_imports::test_imports_are_score_runs_that_everything_works_on",
    ),
    # Checkpoints
    Mutant(
        "a step is any number in a name", "models/spec.py",
        "(?![^\\W_])", "",
        "project/test_messages::test_one_line_is_said_and_nothing_is_left",
    ),
    Mutant(
        "KL is of the earlier from the later", "harness/kinds/training.py",
        "memory.models(labels[later], labels[earlier])",
        "memory.models(labels[earlier], labels[later])",
        "comparing/test_training::test_a_course_is_a_run_whose_steps_are_those_of_training",
    ),
    Mutant(
        "equal weights in other folders are not noticed", "models/loading.py",
        "return folders.weights_sha256(folders.model_files(resolved.folder, resolved.spec.label))", "return resolved.identity",
        "comparing/test_training::test_a_course_is_a_run_whose_steps_are_those_of_training",
    ),
    # The ledger
    Mutant(
        "a part of a text depends on what comes before its shard", "scoring/windows.py",
        "if passage and size and size + len(passage) > most:",
        "if passage and size and (size + len(passage) > most or number % 2):",
        "ledger/test_ledger::test_shards_hold_every_passage_once_and_are_made_of_whole_parts",
    ),
    Mutant(
        "a shard is cut inside a part", "ledger/book.py",
        "for first, last in parts_of(passages, part_characters):",
        "for first, last in parts_of(passages, part_characters // 2 or 1):",
        "ledger/test_ledger::test_shards_hold_every_passage_once_and_are_made_of_whole_parts",
    ),
    Mutant(
        "a later writer replaces a result", "ledger/storage.py",
        "os.link(unfinished, path)", "os.replace(unfinished, path)",
        "ledger/test_ledger::test_a_file_is_put_in_its_place_once",
    ),
    Mutant(
        "a claim from the future counts for an hour", "ledger/claims.py",
        "abs(self.now - written) > IGNORED", "self.now - written > IGNORED",
        "ledger/test_ledger::test_a_claim_counts_for_five_minutes_by_the_clock_of_the_files",
    ),
    Mutant(
        "the result of another shard is taken", "ledger/shard_scores.py",
        "if (footer.cell, footer.shard) != (cell.fingerprint, shard):", "if False:",
        "ledger/test_ledger::test_a_torn_or_foreign_file_is_moved_aside_and_its_shard_scored_again",
    ),
    Mutant(
        "a changed result is taken", "ledger/shard_scores.py",
        "digest.hex() != footer.digest or ", "",
        "ledger/test_ledger::test_a_torn_or_foreign_file_is_moved_aside_and_its_shard_scored_again",
    ),
    Mutant(
        "a plain run takes one that lacks passages for its own", "harness/kinds/score.py",
        "return WITHOUT not in run.tags", "return True",
        "ledger/test_ledger::test_what_is_missing_is_said_in_tag_summary_and_exit_code",
    ),
    Mutant(
        "what a slim table gets back is not compared with what was left out", "data/parquet.py",
        "digest.hex() != about[\"left_out\"][\"sha256\"]", "False",
        "data/test_parquet::test_what_does_not_come_back_is_refused",
    ),
    Mutant(
        "a slim table takes any text", "dumps/importing.py",
        "if sha256 != text.sha256:", "if False:",
        "data/test_parquet::test_a_slim_table_needs_its_own_text_and_tokenizer",
    ),
    Mutant(
        "a double is cut to float32", "data/parquet.py",
        'if kind == "float" and not _same_bits(cast.cast(column.type), column):', "if False:",
        "data/test_parquet::test_a_number_that_float32_does_not_hold_keeps_its_type",
    ),
    # Browsing
    Mutant(
        "a picture counts tokens, not their characters", "figures/report/overview.py",
        "np.cumsum(widths * known)", "np.cumsum(known)",
        "figures/test_overview::test_a_picture_has_the_means_of_equal_parts_of_the_text",
    ),
    Mutant(
        "pages of a store may read what MLflow knows", "pages/app.py",
        "sandbox allow-scripts", "sandbox allow-same-origin allow-scripts",
        "pages/test_pages::test_figures_are_served_as_documents_without_an_origin",
    ),
    Mutant(
        "the scores of a comparison are tidied away", "tracking/inspection.py",
        "run.run_id in needed or run.status", "run.status",
        "tracking/test_tidying::test_a_run_that_a_current_one_names_stays",
    ),
    Mutant(
        "curves have the token's row as their step", "harness/kinds/score.py",
        "return [(int(begins[row]), float(value))", "return [(row, float(value))",
        "harness/test_grid::test_curves_of_two_tokenizers_lie_on_one_another",
    ),
    Mutant(
        "identities of old runs are lost", "tracking/entities.py",
        "return {**params, **found}, own", "return {**split_identities(params)[0], **found}, own",
        "tracking/test_identities::test_an_old_run_has_all_settings_as_parameters",
    ),
    Mutant(
        "seldom read numbers of a run are lost", "tracking/entities.py",
        "return {**metrics, **found}, own", "return {**metrics}, own",
        "tracking/test_identities::test_seldom_read_numbers_are_parted_and_put_together_again",
    ),
    Mutant(
        "the last value of a curve along a text is a number of its run", "tracking/entities.py",
        "if known and name.startswith(_ALONG_TEXT) else known", "if False else known",
        "tracking/test_runs::test_a_curve_has_its_steps_and_a_cap",
    ),
)  # fmt: skip
