/* Generated code includes it but uses nothing of it. SPDX-License-Identifier: MIT */
