// One run, cycle by cycle, for the drivers of CXXRTL designs: what StreamBench is in sim/stream_rules.py, which
// states the rules. Compiled behind the enumeration Outcome, which cxxrtl.py makes of StreamRule there. The macro
// RESULT_WORDS says how many 32-bit words a result has.

#ifndef BLOCKDOT_STREAM_H
#define BLOCKDOT_STREAM_H

#include <algorithm>
#include <cstdint>

// One run; laid out as blockdot.sim.engines.cxxrtl.JOB.
struct Job {
    int64_t vectors;
    // A row of words for each vector: the data ports in order, each from a word of its own on, the least
    // significant one first; then one with i_first (bit 0) and i_last (bit 1).
    const uint32_t *inputs;
    int64_t row_words;
    const uint8_t *offer, *accept;
    int64_t offer_length, accept_length;
    int64_t patience, drain;

    uint32_t *results;  // RESULT_WORDS for each, the least significant one first
    int64_t *result_cycles, *input_cycles;
    int64_t result_count, input_count, cycles;
    int64_t outcome;
    uint32_t held, seen;  // the first word in which they differ
};

namespace {

// What the inputs show during a cycle.
struct Pins {
    bool valid;
    int64_t vector;
    bool inverted;
    bool ready;
};

class StreamBench {
    Job &job;
    int64_t next = 0, received = 0, owed = 0, idle = 0, left;
    int64_t offer = 0, accept = 0;
    uint32_t held[RESULT_WORDS] = {};
    bool offering = false, waiting = false, ready = false;

    bool end(Outcome outcome, int64_t word, const uint32_t *o_result) {
        job.held = held[word];
        job.seen = o_result[word];
        return end(outcome);
    }

    bool end(Outcome outcome) {
        job.outcome = outcome;
        return false;
    }

  public:
    explicit StreamBench(Job &job) : job(job), left(job.drain) {}

    Pins drive() {
        if (!offering) offering = next < job.vectors && job.offer[offer];
        ready = job.accept[accept];
        if (++offer == job.offer_length) offer = 0;
        if (++accept == job.accept_length) accept = 0;
        return {offering, next < job.vectors ? next : job.vectors - 1, !offering, ready};
    }

    // Returns whether the run goes on.
    bool observe(bool i_ready, bool o_valid, const uint32_t *o_result) {
        if (waiting && !o_valid) return end(VALID_HELD, 0, o_result);
        if (waiting) {
            const int64_t word = std::mismatch(held, held + RESULT_WORDS, o_result).first - held;
            if (word != RESULT_WORDS) return end(RESULT_STABLE, word, o_result);
        }
        if (o_valid && received == owed) return end(RESULT_OWED, 0, o_result);
        const bool taken = offering && i_ready, given = o_valid && ready;
        waiting = o_valid && !ready;
        std::copy_n(o_result, RESULT_WORDS, held);
        if (given) {
            std::copy_n(o_result, RESULT_WORDS, job.results + received * RESULT_WORDS);
            job.result_cycles[received++] = job.cycles;
            job.result_count = received;
        }
        if (taken) {
            owed += job.inputs[(next + 1) * job.row_words - 1] >> 1 & 1;
            job.input_cycles[next++] = job.cycles;
            job.input_count = next;
            offering = false;
        }
        if (next == job.vectors && received == owed) {
            if (left-- == 0) {
                job.cycles++;
                return end(KEPT);
            }
        } else if (taken || given) {
            idle = 0;
        } else if (++idle > job.patience) {
            return end(PROGRESS);
        }
        job.cycles++;
        return true;
    }
};

}  // namespace

#endif
