// start.c: where an executable begins: hands over to libc, so that no start files of a compiler are needed.
// SPDX-License-Identifier: Apache-2.0
//
// __libc_start_main(main, argc, argv, init, fini, rtld_fini, stack_end); libc runs constructors by itself.

#if defined(__x86_64__)
__asm__(
    ".text\n.globl ingot_start\n.hidden ingot_start\n.type ingot_start,@function\ningot_start:\n"
    " xor %ebp,%ebp\n mov %rdx,%r9\n pop %rsi\n mov %rsp,%rdx\n and $-16,%rsp\n push %rax\n push %rsp\n"
    " xor %r8d,%r8d\n xor %ecx,%ecx\n lea main(%rip),%rdi\n call *__libc_start_main@GOTPCREL(%rip)\n hlt\n");
#elif defined(__aarch64__)
__asm__(".text\n.globl ingot_start\n.hidden ingot_start\n.type ingot_start,%function\ningot_start:\n"
        " mov x29,#0\n mov x30,#0\n mov x5,x0\n ldr x1,[sp]\n add x2,sp,#8\n mov x6,sp\n"
        " adrp x0,main\n add x0,x0,:lo12:main\n mov x3,#0\n mov x4,#0\n bl __libc_start_main\n brk #0\n");
#elif defined(__arm__)
__asm__(".text\n.arm\n.globl ingot_start\n.hidden ingot_start\n.type ingot_start,%function\ningot_start:\n"
        " mov fp,#0\n mov lr,#0\n pop {r1}\n mov r2,sp\n push {r2}\n push {r0}\n mov r12,#0\n push {r12}\n"
        " ldr r0,2f\n1: add r0,pc,r0\n mov r3,#0\n bl __libc_start_main\n udf #0\n2: .word main-(1b+8)\n");
#elif defined(__riscv)
__asm__(
    ".text\n.globl ingot_start\n.hidden ingot_start\n.type ingot_start,@function\ningot_start:\n"
    ".option push\n.option norelax\n lla gp,__global_pointer$\n.option pop\n"
    " mv a5,a0\n lla a0,main\n ld a1,0(sp)\n addi a2,sp,8\n andi sp,sp,-16\n li a3,0\n li a4,0\n mv a6,sp\n"
    " call __libc_start_main\n ebreak\n");
#endif

typedef int StartNotEmpty;
