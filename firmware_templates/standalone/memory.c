/* The functions a freestanding C compiler may call behind one's back: four, and of clang one more.
 * Word-wise where both sides are aligned. SPDX-License-Identifier: MIT
 */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *left, const void *right, size_t count);
void __aeabi_memclr4(void *to, size_t count); /* of whole words */

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((((uintptr_t)t | (uintptr_t)f) & 3u) == 0) {
        for (; count >= 4; count -= 4, t += 4, f += 4) *(uint32_t *)t = *(const uint32_t *)f;
    }
    for (; count > 0; --count) *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((uintptr_t)t <= (uintptr_t)f) {
        for (size_t i = 0; i < count; ++i) t[i] = f[i];
    } else {
        for (size_t i = count; i > 0; --i) t[i - 1] = f[i - 1];
    }
    return to;
}

void *memset(void *to, int value, size_t count)
{
    uint8_t *t = to;
    for (size_t i = 0; i < count; ++i) t[i] = (uint8_t)value;
    return to;
}

int memcmp(const void *left, const void *right, size_t count)
{
    const uint8_t *l = left;
    const uint8_t *r = right;
    for (size_t i = 0; i < count; ++i) {
        if (l[i] != r[i]) return l[i] < r[i] ? -1 : 1;
    }
    return 0;
}

void __aeabi_memclr4(void *to, size_t count)
{
    memset(to, 0, count);
}
