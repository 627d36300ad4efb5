/* simd.h: vector instructions that compilers do not generate by themselves. */
#ifndef GANSR_SIMD_H
#define GANSR_SIMD_H

#include <stdint.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define GANSR_SSE2 1

static inline __m128i load16(const uint8_t *from) { return _mm_loadu_si128((const __m128i *)(const void *)from); }
static inline __m128i load8(const uint8_t *from) { return _mm_loadl_epi64((const __m128i *)(const void *)from); }
#endif

#endif
