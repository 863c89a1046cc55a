/* The teacher: flite's voice slt speaks lines of text and writes down when each phone sounds.
 *
 *   teacher speak   LINES AUDIO TIMES   audio: 16-bit samples, one utterance after the other
 *   teacher lexicon WORDS PHONES        the phones of single words
 *
 * TIMES has a line for each utterance: samples, rate, then one field for each token of the text,
 * separated by tabs. A token is "name start end phones"; phones of a word are joined by ';', its
 * words by '/'; a phone is "name,stress,end"; times are in seconds.
 * PHONES has "word known phone phone ...": known is 0 where rules guessed the phones from letters;
 * vowels carry a stress digit where the lexicon gives one.
 */
#include <flite/flite.h>
#include <stdio.h>
#include <string.h>

cst_voice *register_cmu_us_slt(const char *voxdir);

static void write_token(FILE *times, const cst_item *token)
{
    const cst_item *first = item_daughter(token), *last = first, *word, *syllable, *segment;
    if (!first)
        return;
    while (item_next(last))
        last = item_next(last);
    fprintf(times, "\t%s %.3f %.3f ", item_feat_string(token, "name"),
            ffeature_float(first, "R:SylStructure.daughter1.daughter1.R:Segment.p.end"),
            ffeature_float(last, "R:SylStructure.daughtern.daughtern.R:Segment.end"));
    for (word = first; word; word = item_next(word)) {
        const char *separator = word == first ? "" : "/";
        syllable = item_daughter(item_as(word, "SylStructure"));
        for (; syllable; syllable = item_next(syllable))
            for (segment = item_daughter(syllable); segment; segment = item_next(segment)) {
                fprintf(times, "%s%s,%s,%.3f", separator, item_feat_string(segment, "name"),
                        ffeature_string(syllable, "R:Syllable.stress"),
                        ffeature_float(segment, "R:Segment.end"));
                separator = ";";
            }
    }
}

static void speak(cst_voice *voice, const char *line, FILE *audio, FILE *times)
{
    cst_utterance *utterance = flite_synth_text(line, voice);
    cst_wave *wave = utt_wave(utterance);
    const cst_item *token;
    fwrite(wave->samples, sizeof(short), wave->num_samples, audio);
    fprintf(times, "%d\t%d", wave->num_samples, wave->sample_rate);
    for (token = relation_head(utt_relation(utterance, "Token")); token; token = item_next(token))
        write_token(times, token);
    fputc('\n', times);
    delete_utterance(utterance);
}

static void look_up(cst_voice *voice, const char *word, FILE *phones)
{
    cst_lexicon *lexicon = val_lexicon(feat_val(voice->features, "lexicon"));
    cst_val *found = lex_lookup(lexicon, word, NULL, NULL);
    const cst_val *phone;
    fprintf(phones, "%s %d", word, in_lex(lexicon, word, NULL, NULL));
    for (phone = found; phone; phone = val_cdr(phone))
        fprintf(phones, " %s", val_string(val_car(phone)));
    fputc('\n', phones);
    delete_val(found);
}

int main(int count, char **arguments)
{
    char line[8192];
    int speaking = count == 5 && !strcmp(arguments[1], "speak");
    if (!speaking && !(count == 4 && !strcmp(arguments[1], "lexicon"))) {
        fprintf(stderr, "usage: teacher speak LINES AUDIO TIMES | teacher lexicon WORDS PHONES\n");
        return 2;
    }
    FILE *input = fopen(arguments[2], "r"), *output = fopen(arguments[3], "wb");
    FILE *times = speaking ? fopen(arguments[4], "w") : NULL;
    if (!input || !output || (speaking && !times)) {
        perror("teacher");
        return 1;
    }
    flite_init();
    cst_voice *voice = register_cmu_us_slt(NULL);
    while (fgets(line, sizeof line, input)) {
        line[strcspn(line, "\n")] = 0;
        if (speaking)
            speak(voice, line, output, times);
        else
            look_up(voice, line, output);
    }
    return (fclose(output) || (times && fclose(times))) ? 1 : 0;
}
